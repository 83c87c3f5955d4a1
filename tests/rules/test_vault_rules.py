"""When is a credential renewed, when is Vault left alone, and what does each answer mean?"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_sandbox_spawner.rules.breaker import Breaker
from jupyter_sandbox_spawner.rules.renewal import begun, failed, renewed
from jupyter_sandbox_spawner.rules.signing_keys import KeyTimes, SigningKey, due, published, signing
from jupyter_sandbox_spawner.rules.vault_answers import answer_error, is_outage, outage_error

T0 = datetime(2026, 11, 29, tzinfo=timezone.utc)
TIMES = KeyTimes()


@given(st.floats(0, 1), st.floats(1, 1e6))
def test_a_renewal_comes_in_time_and_spread(chance: float, seconds: float) -> None:
    """Between 56 and 67 hundredths of its life, by chance; replaced at nine tenths."""
    life = begun(100.0, seconds, True, chance)
    assert life.renew_at is not None
    part = (life.renew_at - 100.0) / seconds
    assert 0.56 < part < 0.67
    assert life.renew_at < life.replace_at < life.ends_at


def test_what_cannot_be_renewed_is_not() -> None:
    """It only has an end."""
    assert begun(0.0, 100.0, False, 0.5).renew_at is None


def test_near_its_most_it_is_replaced_and_no_longer_renewed() -> None:
    """A renewal that gives little has met the most that the store allows."""
    life = renewed(begun(0.0, 900.0, True, 0.0), 600.0, 200.0, 0.0)
    assert (life.renew_at, life.ends_at) == (None, 900.0)
    assert renewed(life, 600.0, 900.0, 0.0).ends_at == 1500.0


def test_a_failed_renewal_is_tried_again_until_nine_tenths() -> None:
    """Some more tries, then a new one is taken instead."""
    life, tries, now = begun(0.0, 900.0, True, 0.0), 0, 600.0
    while life.renew_at is not None:
        now = life.renew_at
        life = failed(life, now)
        tries += 1
    assert 5 <= tries <= 10
    assert now <= 810.0


def test_the_breaker_opens_after_three_and_lets_one_try() -> None:
    """Three outages in a row; for five seconds the last error is given, then one call tries."""
    breaker, error = Breaker(3, 5.0), outage_error("slow")
    for _ in range(2):
        breaker.failed(10.0, error)
        assert breaker.check(10.0) is None
    breaker.failed(10.0, error)
    assert breaker.check(12.0) is error
    assert breaker.open_at(12.0) is error
    assert breaker.open_at(15.0) is None
    assert breaker.check(15.0) is None  # this is the one
    assert breaker.check(15.1) is error
    breaker.answered()
    assert breaker.check(15.2) is None


@pytest.mark.parametrize(
    ("status", "code"),
    [(400, "refused"), (401, "denied"), (403, "denied"), (404, "absent"), (405, "failed"), (418, "failed")],
)
def test_an_answer_is_no_outage(status: int, code: str) -> None:
    """Whatever Vault answers, it is there."""
    error = answer_error(status, ["x"], what="'db/a'")
    assert error.code == f"vault.{code}"
    assert not is_outage(error)
    assert is_outage(outage_error("unreachable"))


def test_a_policys_own_words_are_shown() -> None:
    """Vault's list of errors becomes one line; its bare refusal is not repeated."""
    words = ['1 error occurred:\n\t* egp standard policy "hours" evaluation: Not at night.\n\n']
    assert (
        'It says: egp standard policy "hours" evaluation: Not at night.' in answer_error(403, words).message
    )
    assert "It says" not in answer_error(403, ["permission denied"]).message


def key(kid: str, days: float, at_once: bool = False) -> SigningKey:
    """A key that was made so many days after the first."""
    return SigningKey(kid=kid, made_at=T0 + timedelta(days=days), at_once=at_once)


@pytest.mark.parametrize(
    ("days", "signs", "public"),
    [
        (0.0, "a", "a"),
        (30.0, "a", "ba"),
        (30.9, "a", "ba"),
        (31.0, "b", "ba"),
        (31.005, "b", "ba"),
        (31.02, "b", "b"),
    ],
)
def test_a_key_is_known_before_it_signs_and_after(days: float, signs: str, public: str) -> None:
    """The second is made on day 30 and signs from day 31 on; the first is taken for 15 minutes more."""
    keys = [key("a", 0, at_once=True), *([key("b", 30)] if days >= 30 else [])]
    now = T0 + timedelta(days=days)
    current = signing(keys, now, TIMES)
    assert current is not None
    assert current.kid == signs
    assert "".join(item.kid for item in published(keys, now, TIMES)) == public


def test_the_next_key_is_due_by_the_age_of_the_newest() -> None:
    """And at once where there is none; without one nothing is signed."""
    assert due([], T0, TIMES)
    assert not due([key("a", 0)], T0 + timedelta(days=29), TIMES)
    assert due([key("a", 0)], T0 + timedelta(days=30), TIMES)
    assert signing([], T0, TIMES) is None
    assert published([], T0, TIMES) == ()
