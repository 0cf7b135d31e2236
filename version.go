package blemish

// Version of the library and the command.
const Version = "0.1.0"
