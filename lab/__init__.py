"""A cloud on one machine: OpenStack, hosts, mirrors and Pulumi, to try Q8S in and to test it."""
