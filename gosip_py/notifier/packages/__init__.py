"""The event packages: registrations, dialogs, presence and waiting messages."""
