"""A real OpenStack: Keystone, Glance, Placement, Nova and Neutron, with a database and a message broker."""
