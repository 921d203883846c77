"""Students that see the world from above: image features lifted by predicted depth into a bird's-eye map (CaDDN, CMKD)."""
