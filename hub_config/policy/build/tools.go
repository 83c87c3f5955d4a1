//go:build tools

// Package opabuild makes `go mod tidy` keep all that OPA is built from; build-opa compiles OPA, not this.
package opabuild

import _ "github.com/open-policy-agent/opa"
