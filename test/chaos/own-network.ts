import { Socket } from 'node:net'

/**
 * Gives this process a network of its own: who connects to `name:port` of the map reaches that port of 127.0.0.1.
 * So every process has the same list of servers, and each has its own wires to them, which can be cut alone.
 */
export const useOwnNetwork = (ports: Readonly<Record<string, number>>): void => {
  const connect = Socket.prototype.connect as (this: Socket, ...args: unknown[]) => Socket
  const redirected = (host: unknown, port: unknown): number | undefined => ports[`${String(host)}:${String(port)}`]
  Socket.prototype.connect = function (this: Socket, ...args: unknown[]): Socket {
    // `net.connect` hands over its arguments as one array, options first; others call with options, or port and host.
    const first: unknown = Array.isArray(args[0]) ? (args[0] as unknown[])[0] : args[0]
    if (typeof first === 'object' && first !== null) {
      const options = first as { host?: unknown; port?: unknown }
      const port = redirected(options.host, options.port)
      if (port !== undefined) Object.assign(options, { host: '127.0.0.1', port })
      return connect.apply(this, args)
    }
    const port = redirected(args[1], args[0])
    return connect.apply(this, port === undefined ? args : [port, '127.0.0.1', ...args.slice(2)])
  } as Socket['connect']
}
