// Package v4 holds the types of the options of the provider's Chart component.
package v4

import (
	"reflect"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// RepositoryOpts says where a chart is found.
type RepositoryOpts struct {
	CaFile   pulumi.AssetOrArchive `pulumi:"caFile"`
	CertFile pulumi.AssetOrArchive `pulumi:"certFile"`
	KeyFile  pulumi.AssetOrArchive `pulumi:"keyFile"`
	Password *string               `pulumi:"password"`
	Repo     *string               `pulumi:"repo"`
	Username *string               `pulumi:"username"`
}

// ElementType makes RepositoryOpts an input.
func (RepositoryOpts) ElementType() reflect.Type { return reflect.TypeOf(RepositoryOpts{}) }

// RepositoryOptsInput is what a Chart takes for RepositoryOpts.
type RepositoryOptsInput interface{ pulumi.Input }

// PostRenderer is a command that rewrites a chart's manifests.
type PostRenderer struct {
	Args    []string `pulumi:"args"`
	Command string   `pulumi:"command"`
}

// ElementType makes PostRenderer an input.
func (PostRenderer) ElementType() reflect.Type { return reflect.TypeOf(PostRenderer{}) }

// PostRendererInput is what a Chart takes for a PostRenderer.
type PostRendererInput interface{ pulumi.Input }
