"""Real hosts behind Nova: the host image and the compute driver over systemd-nspawn."""
