"""The protocol, pure: no asyncio, no sockets, no clock, no logging in this package."""
