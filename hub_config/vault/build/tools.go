//go:build tools

// Package vaultbuild makes `go mod tidy` keep all that Vault is built from; build-vault compiles Vault, not this.
package vaultbuild

import _ "github.com/hashicorp/vault"
