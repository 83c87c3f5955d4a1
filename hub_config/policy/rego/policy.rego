# May this person do this? Says the same as the typed rules (jupyter_sandbox_spawner/rules/policy.py), to begin your own
# policy with. The typed rules have been asked before; whatever this says, it can only take away.
#
# Law: everything is denied that is not allowed outright, and a question or settings that are not whole deny too.
#
# input: {point, user, groups, profile, resource, requested, tags, approved}
# data.jupyter_sandbox_settings: what `jupyter-sandbox-admin policy data FILE` prints
package jupyter_sandbox

default decision := {"allow": false, "reasons": ["policy.opa.undefined"]}

decision := {
	"allow": count(reasons) == 0,
	"reasons": sort(reasons),
	"digest": settings.digest,
}

settings := data.jupyter_sandbox_settings

reasons contains "policy.input.invalid" if not valid

reasons contains "policy.settings.invalid" if not complete

reasons contains "policy.group.denied" if {
	valid
	some group in groups
	group in settings.denied_groups
}

reasons contains "policy.gpu.too_many" if {
	valid
	input.point == "gpu"
	not input.requested <= settings.gpus_at_most
}

reasons contains "policy.dataset.needs_approval" if {
	valid
	input.point == "dataset"
	not open_data
	not approved
}

reasons contains "policy.secret.not_allowed" if {
	valid
	input.point == "secret"
	not secret_allowed
}

reasons contains "policy.egress.not_allowed" if {
	valid
	input.point == "egress"
	not exit_allowed
}

reasons contains "policy.extension.too_long" if {
	valid
	input.point == "extension"
	not input.requested <= settings.extension_at_most
}

reasons contains "policy.promotion.needs_approval" if {
	valid
	input.point == "promotion"
	not approved
	not promoter
}

open_data if {
	count(tags) > 0
	every tag in tags {
		tag in {"public", "internal"}
		tag in settings.open_tags
	}
}

secret_allowed if settings.secrets == null

secret_allowed if input.resource in settings.secrets

secret_allowed if {
	some line in settings.secrets
	endswith(line, "/*")
	startswith(input.resource, trim_suffix(line, "*"))
}

exit_allowed if settings.hosts == null

exit_allowed if input.resource in settings.hosts

exit_allowed if {
	some line in settings.hosts
	startswith(line, "*.")
	port_of(line) == port_of(input.resource)
	endswith(host_of(input.resource), trim_prefix(host_of(line), "*"))
}

promoter if {
	some group in groups
	group in settings.promoters
}

port_of(text) := parts[count(parts) - 1] if parts := split(text, ":")

host_of(text) := trim_suffix(text, concat("", [":", port_of(text)]))

# What the question leaves out.
groups := object.get(input, "groups", [])

profile := object.get(input, "profile", "")

resource := object.get(input, "resource", "")

tags := object.get(input, "tags", [])

approved := object.get(input, "approved", false)

requested := object.get(input, "requested", null)

known := {"point", "user", "groups", "profile", "resource", "requested", "tags", "approved"}

counted := {"gpu": {"least": 0, "most": 64}, "extension": {"least": 1, "most": 2678400}}

named := {"dataset", "secret", "egress", "promotion"}

valid if {
	is_object(input)
	count(object.keys(input) - known) == 0
	input.point in ({"spawn", "gpu", "extension"} | named)
	is_name(input.user)
	is_array(groups)
	count(groups) <= 1000
	every group in groups { is_name(group) }
	is_empty_or_name(profile)
	is_empty_or_name(resource)
	resource_given
	is_array(tags)
	count(tags) <= 16
	every tag in tags { tag in {"public", "internal", "pii", "phi", "secret"} }
	is_boolean(approved)
	number_given
}

resource_given if not input.point in named

resource_given if resource != ""

number_given if {
	not input.point in object.keys(counted)
	requested == null
}

number_given if {
	is_number(requested)
	regex.match(`^[0-9]+$`, json.marshal(requested)) # 4.0 is not a whole number here, nor is 4e0
	requested >= counted[input.point].least
	requested <= counted[input.point].most
}

# No control characters and nothing that two programs may read differently; all else in a name is data.
is_name(text) if {
	is_string(text)
	regex.match(`^[^\x00-\x1f\x7f-\x{9f}\x{2028}\x{2029}\x{fffd}]{1,255}$`, text)
}

is_empty_or_name("")

is_empty_or_name(text) if is_name(text)

complete if {
	settings.rules == 1
	is_number(settings.gpus_at_most)
	is_number(settings.extension_at_most)
	is_array(settings.open_tags)
	is_array(settings.denied_groups)
	is_array(settings.promoters)
	is_list_or_null(settings.secrets)
	is_list_or_null(settings.hosts)
	is_string(settings.digest)
}

is_list_or_null(null)

is_list_or_null(list) if is_array(list)
