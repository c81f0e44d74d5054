import { connect, createServer, type Socket } from 'node:net'

/** A TCP balancer that gives each new connection to the next server in turn, as a Service of a cluster does. */
export interface Balancer {
  readonly address: string
  /** How many connections each of the servers was given. */
  readonly given: readonly number[]
  close(): Promise<void>
}

export const balancer = async (ports: readonly number[]): Promise<Balancer> => {
  const sockets = new Set<Socket>()
  const given = ports.map(() => 0)
  let turn = 0
  const keep = (socket: Socket): Socket => {
    sockets.add(socket)
    return socket.on('close', () => sockets.delete(socket)).on('error', () => socket.destroy())
  }
  const server = createServer((near) => {
    const index = turn % ports.length
    turn += 1
    given[index] = (given[index] ?? 0) + 1
    const far = keep(connect(ports[index] ?? 0, '127.0.0.1'))
    keep(near).pipe(far).pipe(near)
    near.on('close', () => far.destroy())
    far.on('close', () => near.destroy())
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  return {
    address: `127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}`,
    given,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        for (const socket of sockets) socket.destroy()
      }),
  }
}
