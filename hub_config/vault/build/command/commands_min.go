//go:build minimal

// Where can the Vault that is built here keep its data, beside memory and Raft?
//
// It takes the place of the file of this name in Vault's package: see build-vault.
package command

import (
	_ "github.com/hashicorp/vault/helper/builtinplugins"
	physFile "github.com/hashicorp/vault/sdk/physical/file"
)

func extendAddonHandlers(handlers *vaultHandlers) {
	handlers.physicalBackends["file"] = physFile.NewFileBackend
}
