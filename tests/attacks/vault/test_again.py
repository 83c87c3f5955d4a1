"""Do the attacks on secrets fail at a house with Vault as they do at one with the built-in store?

The same tests; the `house` that they meet here is this folder's.
"""

from __future__ import annotations

from tests.attacks.test_credentials import (
    test_c01_no_secret_of_the_house_is_readable_inside,  # noqa: F401
    test_c02_another_local_user_sees_no_token,  # noqa: F401
    test_c03_no_secret_byte_lies_on_disk,  # noqa: F401
)
from tests.attacks.test_secrets import (  # noqa: F401
    session,
    test_a_broker_that_hangs_fails_a_cell_soon_and_recovers,
    test_a_killed_broker_is_back_with_its_secrets,
    test_boto3_is_preset_in_a_real_server,
    test_c01_no_value_is_in_a_file_or_process_inside,
    test_c02_no_value_is_in_a_process_of_the_host,
    test_c03_a_session_shows_no_value,
    test_c04_another_persons_secret_is_refused_and_audited,
    test_c06_after_the_stop_the_token_reads_nothing,
    test_c10_a_printed_token_works_at_its_own_door_only,
    test_refusals_in_a_notebook_say_what_to_do,
)
