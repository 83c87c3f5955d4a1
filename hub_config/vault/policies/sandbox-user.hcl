# What may the token of one sandbox do? The broker holds it for the sandbox; nobody else has one.
# hub_config/vault/setup fills in what stands between @ signs and adds what the operator named.

# A person's own secrets. The name is the one in the broker's signed token.
path "@KV@/data/@PREFIX@users/{{identity.entity.aliases.@ACCESSOR@.name}}/*" {
  capabilities = ["read"]
}

# Vault fills the name in before it looks for wildcards: for a person named "+" the path above would read
# @KV@/data/@PREFIX@users/+/*, which is everybody's. That is the very path below, and of two rules for one path the one that
# denies holds. For other names the path above is the more exact one, and this one changes nothing.
# A name with a slash cannot be made safe here ("a/b" has its secrets below those of "a"), and Vault takes names
# that differ in case only for one person: the broker refuses both kinds before it asks Vault.
path "@KV@/data/@PREFIX@users/+/*" {
  capabilities = ["deny"]
}
