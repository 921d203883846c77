"""How nodes are started: launch files, processes, transport, a domain of their own."""
