'use strict';

// A user's script: treats to stdout, a line each.
//
//   node stdout.js SOCKET_URL

const { open } = require('./event.js');

const log = console.log;
console.log = console.error; // stdout is for data
open(process.argv[2], ({ text }) => log(text));
