// Package kubernetes holds what the provider itself uses of its SDK for Go.
package kubernetes

import "reflect"

// UntypedArgs are the arguments of a resource whose type is known at run time only.
type UntypedArgs map[string]any

// ElementType makes UntypedArgs an input.
func (UntypedArgs) ElementType() reflect.Type {
	return reflect.TypeOf((*map[string]any)(nil)).Elem()
}
