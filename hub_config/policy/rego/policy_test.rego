# Run with: opa test hub_config/policy/rego. Begin your own tests with these.
package jupyter_sandbox_test

import data.jupyter_sandbox

settings := {
	"rules": 1,
	"gpus_at_most": 2,
	"open_tags": ["public"],
	"denied_groups": ["suspended"],
	"secrets": null,
	"hosts": null,
	"extension_at_most": 3600,
	"promoters": [],
	"digest": "d",
}

test_two_gpus_are_allowed if {
	question := {"point": "gpu", "user": "alice", "requested": 2}
	jupyter_sandbox.decision.allow with input as question with data.jupyter_sandbox_settings as settings
}

test_three_gpus_are_not if {
	question := {"point": "gpu", "user": "alice", "requested": 3}
	decision := jupyter_sandbox.decision with input as question with data.jupyter_sandbox_settings as settings
	decision.allow == false
	decision.reasons == ["policy.gpu.too_many"]
}

test_guarded_data_needs_an_approval if {
	question := {"point": "dataset", "user": "alice", "resource": "cases@1", "tags": ["public", "pii"]}
	decision := jupyter_sandbox.decision with input as question with data.jupyter_sandbox_settings as settings
	decision.reasons == ["policy.dataset.needs_approval"]
}

test_an_approval_opens_it if {
	question := {"point": "dataset", "user": "alice", "resource": "cases@1", "tags": ["pii"], "approved": true}
	jupyter_sandbox.decision.allow with input as question with data.jupyter_sandbox_settings as settings
}

test_without_settings_nothing_is_allowed if {
	decision := jupyter_sandbox.decision with input as {"point": "spawn", "user": "alice"}
	decision.allow == false
}
