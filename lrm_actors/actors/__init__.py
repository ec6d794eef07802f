"""Who does it: how the effects of each actor are carried out in the world."""
