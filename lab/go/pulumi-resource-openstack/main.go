// Command pulumi-resource-openstack is the lab's build of the OpenStack resource plugin.
//
// It bridges the published Terraform provider and maps what a Q8S stack may use, with the tokens and property
// names of the Python SDK that Q8S pins. It is a stand-in: where the official plugin can be had, that one is used.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfbridge"
	shim "github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfshim"
	shimv2 "github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfshim/sdk-v2"
	"github.com/pulumi/pulumi/sdk/v3/go/common/tokens"
	"github.com/terraform-provider-openstack/terraform-provider-openstack/v3/openstack"
)

const name = "openstack"

// Set by the linker to the version of the Python SDK, because the engine compares the two.
var version = "0.0.0"

// Terraform name without its prefix, to "module/Type" of the SDK.
var resources = map[string]string{
	"compute_instance_v2":                "compute/Instance",
	"compute_keypair_v2":                 "compute/Keypair",
	"compute_servergroup_v2":             "compute/ServerGroup",
	"identity_application_credential_v3": "identity/ApplicationCredential",
	"networking_floatingip_associate_v2": "networking/FloatingIpAssociate",
	"networking_floatingip_v2":           "networking/FloatingIp",
	"networking_network_v2":              "networking/Network",
	"networking_port_v2":                 "networking/Port",
	"networking_router_interface_v2":     "networking/RouterInterface",
	"networking_router_v2":               "networking/Router",
	"networking_secgroup_rule_v2":        "networking/SecGroupRule",
	"networking_secgroup_v2":             "networking/SecGroup",
	"networking_subnet_v2":               "networking/Subnet",
}

// The same for data sources.
var dataSources = map[string]string{
	"compute_availability_zones_v2": "compute/getAvailabilityZones",
	"compute_flavor_v2":             "compute/getFlavor",
	"compute_keypair_v2":            "compute/getKeypair",
	"compute_limits_v2":             "compute/getLimitsV2",
	"compute_quotaset_v2":           "compute/getQuotaSetV2",
	"identity_auth_scope_v3":        "identity/getAuthScope",
	"images_image_ids_v2":           "images/getImageIds",
	"images_image_v2":               "images/getImage",
	"networking_floatingip_v2":      "networking/getFloatingIp",
	"networking_network_v2":         "networking/getNetwork",
	"networking_port_v2":            "networking/getPort",
	"networking_quota_v2":           "networking/getQuotaV2",
	"networking_router_v2":          "networking/getRouter",
	"networking_secgroup_v2":        "networking/getSecGroup",
	"networking_subnet_v2":          "networking/getSubnet",
}

// Provider settings that the SDK also takes from the environment.
var configFromEnvironment = map[string]string{
	"allow_reauth":  "OS_ALLOW_REAUTH",
	"cloud":         "OS_CLOUD",
	"delayed_auth":  "OS_DELAYED_AUTH",
	"endpoint_type": "OS_ENDPOINT_TYPE",
	"insecure":      "OS_INSECURE",
	"region":        "OS_REGION_NAME",
	"swauth":        "OS_SWAUTH",
}

// token turns "compute/Instance" into "openstack:compute/instance:Instance".
func token(member string) string {
	module, typeName, _ := strings.Cut(member, "/")
	file := strings.ToLower(typeName[:1]) + typeName[1:]
	return fmt.Sprintf("%s:%s/%s:%s", name, module, file, typeName)
}

func provider() tfbridge.ProviderInfo {
	upstream := shimv2.NewProvider(openstack.Provider())
	info := tfbridge.ProviderInfo{
		P:              upstream,
		Name:           name,
		ResourcePrefix: name,
		Version:        version,
		MetadataInfo:   tfbridge.NewProviderMetadata([]byte("{}")),
		Config:         map[string]*tfbridge.SchemaInfo{},
		Resources:      map[string]*tfbridge.ResourceInfo{},
		DataSources:    map[string]*tfbridge.DataSourceInfo{},
	}
	for key, variable := range configFromEnvironment {
		info.Config[key] = &tfbridge.SchemaInfo{Default: &tfbridge.DefaultInfo{EnvVars: []string{variable}}}
	}
	for key, member := range resources {
		info.Resources[name+"_"+key] = &tfbridge.ResourceInfo{Tok: tokens.Type(token(member))}
	}
	info.Resources["openstack_networking_subnet_v2"].Fields = map[string]*tfbridge.SchemaInfo{
		"allocation_pool": {Name: "allocationPools"},
	}
	for key, member := range dataSources {
		info.DataSources[name+"_"+key] = &tfbridge.DataSourceInfo{Tok: tokens.ModuleMember(token(member))}
	}
	// A resource that is not mapped must be named as ignored, else the bridge takes the gap for a mistake.
	upstream.ResourcesMap().Range(func(key string, _ shim.Resource) bool {
		if _, mapped := info.Resources[key]; !mapped {
			info.IgnoreMappings = append(info.IgnoreMappings, key)
		}
		return true
	})
	upstream.DataSourcesMap().Range(func(key string, _ shim.Resource) bool {
		if _, mapped := info.DataSources[key]; !mapped {
			info.IgnoreMappings = append(info.IgnoreMappings, key)
		}
		return true
	})
	// A resource without a name gets that of the program with a random suffix, as the SDK documents.
	info.SetAutonaming(255, "-")
	return info
}

func main() {
	schema, err := json.Marshal(map[string]string{"name": name, "version": version})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Fprintf(os.Stderr, "pulumi-resource-openstack %s: stand-in for the official plugin, built for the Q8S lab\n", version)
	tfbridge.Main(name, version, provider(), schema)
}
