"""What the stack knows: its resources as Pulumi's engine recorded them."""
