"""What hosts and guests would fetch from the internet, made here and served in the layout of the originals."""
