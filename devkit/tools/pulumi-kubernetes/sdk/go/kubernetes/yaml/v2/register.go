// Package v2 stands for the resources that the provider's YAML and Chart components make.
package v2

import (
	"fmt"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// RegisterResource refuses: this build has no component resources.
func RegisterResource(
	_ *pulumi.Context, apiVersion, kind, name string, _ pulumi.Input, _ ...pulumi.ResourceOption,
) (pulumi.CustomResource, error) {
	return nil, fmt.Errorf("%s %s %s: this build of the Kubernetes provider has no yaml.v2 and helm.v4 components: "+
		"use the provider that `pulumi plugin install resource kubernetes` brings", apiVersion, kind, name)
}
