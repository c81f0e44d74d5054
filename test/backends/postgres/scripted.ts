import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'

/** A message of the protocol: a letter, the length of it and what follows, and a body. */
export const message = (type: string, body: Uint8Array | string = ''): Buffer => {
  const bytes = Buffer.from(body as Uint8Array)
  const length = Buffer.alloc(4)
  length.writeInt32BE(bytes.length + 4)
  return Buffer.concat([Buffer.from(type), length, bytes])
}

/** A message that says it is longer than what is there. */
export const messageClaiming = (type: string, length: number, body: Uint8Array | string = ''): Buffer => {
  const bytes = message(type, body)
  bytes.writeUInt32BE(length, 1)
  return bytes
}

const AUTHENTICATED = message('R', Buffer.alloc(4))
export const READY: Buffer = message('Z', 'I')

/** Names and types of the columns of an answer, all of them texts. */
export const columns = (...names: readonly string[]): Buffer => {
  const count = Buffer.alloc(2)
  count.writeInt16BE(names.length)
  const rest = Buffer.from([0, 0, 0, 0, 0, 0, 0, 0, 0, 25, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0])
  return message('T', Buffer.concat([count, ...names.flatMap((name) => [Buffer.from(`${name}\0`), rest])]))
}

export const row = (...values: readonly (Uint8Array | string)[]): Buffer => {
  const count = Buffer.alloc(2)
  count.writeInt16BE(values.length)
  const parts = values.flatMap((value) => {
    const bytes = Buffer.from(value as Uint8Array)
    const length = Buffer.alloc(4)
    length.writeInt32BE(bytes.length)
    return [length, bytes]
  })
  return message('D', Buffer.concat([count, ...parts]))
}

/** A server that lets everybody in, and says what its script says. */
export interface ScriptedPostgres {
  readonly url: string
  readonly port: number
  /** How many connections were ever opened, and how many of them are open. */
  connections(): { readonly opened: number; readonly open: number }
  /** How many bytes it has handed to its sockets. */
  sentBytes(): number
  close(): Promise<void>
}

export interface Script {
  /** In place of letting a client in. */
  readonly atStart?: (send: Send) => void
  /** Each time a client asks something; `text` holds the statement, among other things. */
  readonly asked?: (send: Send, text: string) => void
}

/** Sends bytes; calls `then` once they have left, and never where the client is gone. */
export type Send = (bytes: Uint8Array, then?: () => void) => void

export const scriptedPostgres = async ({ atStart, asked }: Script): Promise<ScriptedPostgres> => {
  const sockets = new Set<Socket>()
  let opened = 0
  let sentBytes = 0
  const server = createServer((socket) => {
    opened += 1
    sockets.add(socket)
    socket.on('error', () => {}).on('close', () => sockets.delete(socket))
    const send: Send = (bytes, then = () => {}) => {
      if (socket.destroyed) return
      sentBytes += bytes.length
      socket.write(bytes, (error) => {
        if (error === undefined || error === null) setImmediate(then)
      })
    }
    socket.once('data', () => {
      if (atStart === undefined) send(Buffer.concat([AUTHENTICATED, READY]))
      else atStart(send)
      socket.on('data', (bytes) => asked?.(send, bytes.toString('latin1')))
    })
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return {
    url: `postgres://somebody@127.0.0.1:${port}/x`,
    port,
    connections: () => ({ opened, open: sockets.size }),
    sentBytes: () => sentBytes,
    close: async () => {
      for (const socket of sockets) socket.destroy()
      server.close()
      await once(server, 'close')
    },
  }
}

/** Sends the same bytes again and again for as long as anybody takes them, `atMost` bytes of them. */
export const pour = (send: Send, bytes: Uint8Array, atMost: number): void => {
  if (atMost > 0) send(bytes, () => pour(send, bytes, atMost - bytes.length))
}
