"""The very same actors without threads: a scheduler decides who goes on, and time jumps to the next thing that is due.

The loops of the runtime run unchanged, each in a greenlet of its own. Whatever waits in the runtime comes from
``lrm_actors.runtime.machine``; here are other queues, replies, flags, locks and clocks, which hand over to the
scheduler where a thread would sleep.
"""
