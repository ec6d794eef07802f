"""How it runs: event-sourced actors on pykka, their system, clock, timers and guardian."""
