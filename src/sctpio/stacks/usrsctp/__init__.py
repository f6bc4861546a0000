"""SCTP in user space, over UDP (RFC 6951): `socket` is the stack, `capabilities` what it offers, and
`udp_ports` decides on its UDP port."""
