"""The kernel's SCTP: `socket` is the stack, `capabilities` what this host's kernel offers."""
