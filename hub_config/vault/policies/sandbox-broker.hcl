# What may the broker's own token do? It keeps the tokens of sandboxes alive, ends them, and stores what admins
# give it. It cannot read the value of a secret: for that it logs in for one sandbox, with that person's rights.

# Tokens of sandboxes, by accessor. Whoever holds an accessor can end that token; accessors cannot be listed here.
path "auth/token/renew-accessor" {
  capabilities = ["update"]
}
path "auth/token/revoke-accessor" {
  capabilities = ["update"]
}
path "auth/token/lookup-accessor" {
  capabilities = ["update"]
}

# Dynamic credentials, by the id of their lease.
path "sys/leases/renew" {
  capabilities = ["update"]
}
path "sys/leases/revoke" {
  capabilities = ["update"]
}
path "sys/leases/lookup" {
  capabilities = ["update"]
}

# Static secrets: their names and versions, writing and removing them; "read" on data is left out on purpose.
# Beside a value it notes who stored it and which fields it has, since it cannot look.
path "@KV@/metadata/@PREFIX@*" {
  capabilities = ["list", "read", "create", "update", "delete"]
}
path "@KV@/data/@PREFIX@*" {
  capabilities = ["create", "update"]
}

# Itself. The default policy is not attached.
path "auth/token/renew-self" {
  capabilities = ["update"]
}
path "auth/token/lookup-self" {
  capabilities = ["read"]
}
