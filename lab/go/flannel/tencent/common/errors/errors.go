// Package errors holds the one name of the SDK's errors that flannel's source mentions.
package errors

// TencentCloudSDKError is never returned.
type TencentCloudSDKError struct{}

func (e *TencentCloudSDKError) Error() string {
	return "the tencent-vpc backend is not part of this build"
}
