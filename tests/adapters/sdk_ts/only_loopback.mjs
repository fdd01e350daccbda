// Imported before the SDK: a connection to anything but loopback is refused, and `hosts` tells where connections were opened.

import net from "node:net";

export const hosts = new Set();

const connect = net.Socket.prototype.connect;
net.Socket.prototype.connect = function connectToLoopback(...args) {
  const [options] = Array.isArray(args[0]) ? args[0] : args; // node's own callers pass an array that is normalised already
  hosts.add(options.host);
  if (options.host !== "127.0.0.1") {
    throw new Error(`a connection to ${options.host}, which is not on loopback`);
  }
  return connect.apply(this, args);
};
