// Package common stands in for an SDK that cannot be had: flannel's tencent-vpc backend compiles and does nothing.
package common

// StringPtr returns the address of a copy.
func StringPtr(value string) *string { return &value }

// StringPtrs returns the addresses of copies.
func StringPtrs(values []string) []*string {
	pointers := make([]*string, len(values))
	for index, value := range values {
		pointers[index] = &value
	}
	return pointers
}

// BoolPtr returns the address of a copy.
func BoolPtr(value bool) *bool { return &value }
