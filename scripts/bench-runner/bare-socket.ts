/**
 * Memcached's binary protocol with nothing around it: no deadlines, no limits, no reconnection, one server. It is the
 * limit that a client of this protocol in JavaScript can come close to.
 */
import { once } from 'node:events'
import { connect } from 'node:net'

export interface BareSocket {
  /** The bytes, or `undefined` where nothing stands. */
  get(key: string): Promise<Buffer | undefined>
  set(key: string, value: Uint8Array): Promise<void>
  close(): void
}

const HEADER_BYTES = 24
const REQUEST = 0x80
const GET = 0x00
const SET = 0x01
/** What a set has before its key: the flags and the expiry. */
const SET_EXTRAS_BYTES = 8

const requestOf = (opcode: number, key: string, extrasBytes: number, value: Uint8Array | undefined): Buffer => {
  const valueBytes = value?.length ?? 0
  const request = Buffer.allocUnsafe(HEADER_BYTES + extrasBytes + key.length + valueBytes)
  request.fill(0, 0, HEADER_BYTES + extrasBytes)
  request[0] = REQUEST
  request[1] = opcode
  request.writeUInt16BE(key.length, 2)
  request[4] = extrasBytes
  request.writeUInt32BE(extrasBytes + key.length + valueBytes, 8)
  request.write(key, HEADER_BYTES + extrasBytes, 'latin1')
  if (value !== undefined) request.set(value, HEADER_BYTES + extrasBytes + key.length)
  return request
}

type Waiting = (status: number, value: Buffer) => void

/** @param address `host:port` */
export const bareSocket = async (address: string): Promise<BareSocket> => {
  const [host = '', port = ''] = address.split(':')
  const socket = connect({ host, port: Number(port), noDelay: true })
  await once(socket, 'connect')

  // Answers come in the order of the requests.
  const waiting: Waiting[] = []
  let first = 0
  let rest: Buffer | undefined
  socket.on('data', (chunk: Buffer) => {
    let bytes = rest === undefined ? chunk : Buffer.concat([rest, chunk])
    rest = undefined
    while (bytes.length >= HEADER_BYTES) {
      const end = HEADER_BYTES + bytes.readUInt32BE(8)
      if (bytes.length < end) break
      const answer = waiting[first]
      first += 1
      answer?.(bytes.readUInt16BE(6), bytes.subarray(HEADER_BYTES + (bytes[4] ?? 0), end))
      bytes = bytes.subarray(end)
    }
    if (bytes.length > 0) rest = bytes
    if (first === waiting.length) {
      waiting.length = 0
      first = 0
    }
  })

  let isCorked = false
  const send = (request: Buffer, answer: Waiting): void => {
    waiting.push(answer)
    if (!isCorked) {
      isCorked = true
      socket.cork()
      // What is asked in one turn of the loop goes out in one write.
      process.nextTick(() => {
        isCorked = false
        socket.uncork()
      })
    }
    socket.write(request)
  }

  return {
    get: (key) =>
      new Promise((resolve) =>
        send(requestOf(GET, key, 0, undefined), (status, value) => resolve(status === 0 ? value : undefined)),
      ),
    set: (key, value) =>
      new Promise((resolve, reject) =>
        send(requestOf(SET, key, SET_EXTRAS_BYTES, value), (status) =>
          status === 0 ? resolve() : reject(new Error(`the set was answered with status ${status}`)),
        ),
      ),
    close: () => void socket.destroy(),
  }
}
