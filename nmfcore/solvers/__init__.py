"""How a batch of runs is solved: half-steps for every loss, the iteration they share, starts."""
