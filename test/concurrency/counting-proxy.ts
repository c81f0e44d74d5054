import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'

/** What a wire's two directions are cut into. */
export type Frames = 'memcached' | 'postgres'

/** What passed, in order: `> 0c` is a request with that opcode, `< 0c` its answer; a letter is PostgreSQL's. */
export interface Counted {
  readonly frames: readonly string[]
  /** How often the wire turned round: from requests to answers. */
  readonly roundTrips: number
}

/** A wire to a real server that passes every byte on as it is, and counts. */
export interface CountingProxy {
  readonly port: number
  /** What passed while `work` ran, and a moment longer for what it started beside its answers. */
  during(work: () => Promise<unknown>): Promise<Counted>
  close(): Promise<void>
}

export const countingProxy = async (host: string, port: number, kind: Frames): Promise<CountingProxy> => {
  let frames: string[] = []
  const sockets = new Set<Socket>()
  const server = createServer((near) => {
    const far = connect(port, host)
    for (const socket of [near, far]) {
      sockets.add(socket)
      socket.setNoDelay(true)
      socket.on('error', () => {})
      socket.on('close', () => {
        sockets.delete(socket)
        near.destroy()
        far.destroy()
      })
    }
    const note = (direction: '>' | '<') => (name: string) => frames.push(`${direction} ${name}`)
    pass(near, far, kind === 'memcached' ? memcachedCutter(note('>')) : postgresCutter(note('>'), true))
    pass(far, near, kind === 'memcached' ? memcachedCutter(note('<')) : postgresCutter(note('<'), false))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    during: async (work) => {
      frames = []
      await work()
      await new Promise((resolve) => setTimeout(resolve, 50))
      const passed = frames
      frames = []
      return { frames: passed, roundTrips: turns(passed) }
    },
    close: async () => {
      for (const socket of sockets) socket.destroy()
      server.close()
      await once(server, 'close')
    },
  }
}

const turns = (frames: readonly string[]): number =>
  frames.filter((frame, at) => frame.startsWith('<') && frames[at - 1]?.startsWith('>')).length

const pass = (from: Socket, to: Socket, cut: (bytes: Buffer) => void): void => {
  from.on('data', (bytes) => {
    cut(bytes)
    if (!to.write(bytes)) {
      from.pause()
      to.once('drain', () => from.resume())
    }
  })
  from.on('end', () => to.end())
}

/** Calls `found` once for each frame, however its bytes arrive; `lengthOf` is `undefined` until it can tell. */
const cutter = (
  lengthOf: (bytes: Buffer) => number | undefined,
  found: (frame: Buffer) => void,
): ((bytes: Buffer) => void) => {
  let rest: Buffer = Buffer.alloc(0)
  return (bytes) => {
    rest = Buffer.concat([rest, bytes])
    for (let length = lengthOf(rest); length !== undefined && rest.length >= length; length = lengthOf(rest)) {
      found(rest.subarray(0, length))
      rest = rest.subarray(length)
    }
  }
}

const MEMCACHED_HEADER = 24

const memcachedCutter = (note: (name: string) => void): ((bytes: Buffer) => void) =>
  cutter(
    (bytes) => (bytes.length < MEMCACHED_HEADER ? undefined : MEMCACHED_HEADER + bytes.readUInt32BE(8)),
    (frame) => note(frame.subarray(1, 2).toString('hex')),
  )

/** The first message of a client has a length and no letter; all others have a letter before it. */
const postgresCutter = (note: (name: string) => void, startsBare: boolean): ((bytes: Buffer) => void) => {
  let isBare = startsBare
  return cutter(
    (bytes) => {
      const letters = isBare ? 0 : 1
      return bytes.length < letters + 4 ? undefined : letters + bytes.readUInt32BE(letters)
    },
    (frame) => {
      note(isBare ? 'startup' : frame.toString('latin1', 0, 1))
      isBare = false
    },
  )
}
