// The Kubernetes resource provider, as upstream's cmd/pulumi-resource-kubernetes starts it, with the schema and the mapping
// that the build copies out of that module beside this file.
//
// Unlike upstream's it ends when its standard input does, which the engine holds open: after kill -9 of the engine no
// provider is left behind.
package main

import (
	_ "embed"
	"io"
	"os"

	"github.com/pulumi/pulumi-kubernetes/provider/v4/pkg/provider"
	"github.com/pulumi/pulumi-kubernetes/provider/v4/pkg/version"
)

//go:embed schema.json
var schema []byte

//go:embed terraform-mapping.json
var terraformMapping []byte

func main() {
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(1)
	}()
	provider.Serve("kubernetes", version.Version, schema, terraformMapping)
}
