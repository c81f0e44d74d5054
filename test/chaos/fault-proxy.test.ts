import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type FaultProxy, faultProxy } from './fault-proxy.js'

/** Far more than one packet, and no byte like its neighbours. */
const BYTES = Buffer.from(Array.from({ length: 300_000 }, (_, at) => (at * 31 + (at >> 8)) & 0xff))

let server: Server
let proxy: FaultProxy
/** The server's ends of all connections. */
let ends: Socket[]
const opened: Socket[] = []

beforeEach(async () => {
  ends = []
  server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on('error', () => {})
    ends.push(socket)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  proxy = await faultProxy(() => port)
})

afterEach(async () => {
  for (const socket of [...opened.splice(0), ...ends]) socket.destroy()
  await proxy.close()
  server.close()
})

interface Client {
  readonly socket: Socket
  /** The server's end of this connection. */
  readonly far: Socket
  received(): Buffer
  /** How it ended. */
  readonly ended: Promise<'FIN' | 'RST'>
}

const reader = (socket: Socket): (() => Buffer) => {
  const parts: Buffer[] = []
  socket.on('data', (bytes: Buffer) => parts.push(bytes))
  return () => Buffer.concat(parts)
}

const open = async (): Promise<Client> => {
  const count = ends.length
  const socket = connect({ port: proxy.port, host: '127.0.0.1', allowHalfOpen: true })
  opened.push(socket)
  const received = reader(socket)
  const ended = new Promise<'FIN' | 'RST'>((resolve) => {
    socket.on('end', () => resolve('FIN'))
    socket.on('error', () => resolve('RST'))
  })
  await once(socket, 'connect')
  await until(() => ends.length > count)
  return { socket, far: ends[count] as Socket, received, ended }
}

const until = async (holds: () => boolean): Promise<void> => {
  for (let tries = 0; !holds(); tries += 1) {
    if (tries > 1_000) throw new Error('it never came about')
    await sleep(5)
  }
}

/** Long enough for bytes on loopback to arrive, were they let through. */
const A_MOMENT_MS = 80

describe('a fault proxy', () => {
  test('passes every byte on, both ways, and a FIN after the last', async () => {
    const { socket, far, received, ended } = await open()
    const atServer = reader(far)
    socket.write(BYTES)
    far.end(BYTES)
    expect(await ended).toBe('FIN')
    await until(() => atServer().length === BYTES.length)
    expect(atServer().equals(BYTES)).toBe(true)
    expect(received().equals(BYTES)).toBe(true)
    expect(proxy.counts()).toMatchObject({ passed: { requests: BYTES.length, answers: BYTES.length }, withheld: 0 })
  })

  test.each([0, 1, 23, 24, 25, 70_000])('cuts answers after exactly %i more bytes', async (bytes) => {
    const { far, received, ended } = await open()
    far.write(BYTES.subarray(0, 100))
    await until(() => received().length === 100)
    proxy.cutAfter(bytes, 'answers')
    far.write(BYTES.subarray(100))
    expect(await ended).toBe('FIN')
    expect(received().equals(BYTES.subarray(0, 100 + bytes))).toBe(true)
  })

  test('cuts requests after exactly so many bytes, and the server sees the end', async () => {
    const { socket, far } = await open()
    const atServer = reader(far)
    const closed = once(far, 'close')
    far.on('end', () => far.end())
    proxy.cutAfter(24, 'requests')
    socket.write(BYTES)
    await closed
    expect(atServer().equals(BYTES.subarray(0, 24))).toBe(true)
  })

  test('cuts the connections there are, and none that comes later', async () => {
    proxy.cutAfter(3, 'answers')
    const { far, received } = await open()
    far.write(BYTES.subarray(0, 10))
    await until(() => received().length === 10)
  })

  test('drops replies while requests arrive, and resets what has lost bytes when it heals', async () => {
    const { socket, far, received, ended } = await open()
    const atServer = reader(far)
    proxy.dropReplies()
    socket.write('question')
    await until(() => atServer().toString() === 'question')
    far.write('answer')
    await sleep(A_MOMENT_MS)
    expect(received().length).toBe(0)
    expect(proxy.counts().withheld).toBe(6)
    proxy.heal()
    expect(await ended).toBe('RST')
    const other = await open()
    other.far.write('answer')
    await until(() => other.received().toString() === 'answer')
  })

  test('holds everything back in a black hole, new connections too, and passes it on late when it heals', async () => {
    const { socket, far, received } = await open()
    const atServer = reader(far)
    proxy.blackHole()
    socket.write('question')
    far.write('answer')
    const later = await open()
    later.socket.write('another')
    const atServerLater = reader(later.far)
    await sleep(A_MOMENT_MS)
    expect([atServer().length, received().length, atServerLater().length]).toEqual([0, 0, 0])
    proxy.heal()
    await until(() => atServer().toString() === 'question' && received().toString() === 'answer')
    await until(() => atServerLater().toString() === 'another')
  })

  test('tells nobody in a black hole that the other side has gone', async () => {
    const { socket, far } = await open()
    proxy.blackHole()
    far.destroy()
    let wasTold = false
    socket.on('end', () => {
      wasTold = true
    })
    socket.on('close', () => {
      wasTold = true
    })
    await sleep(A_MOMENT_MS)
    expect(wasTold).toBe(false)
    proxy.heal()
    await until(() => wasTold)
  })

  test('ends when it heals what the server had ended in a black hole, with a RST or after the client', async () => {
    const [reset, left] = [await open(), await open()]
    left.socket.end()
    await once(left.far.resume(), 'end')
    proxy.blackHole()
    reset.far.resetAndDestroy()
    left.far.end()
    await once(left.far, 'close')
    await sleep(A_MOMENT_MS)
    expect([reset.socket.closed, left.socket.closed]).toEqual([false, false])
    proxy.heal()
    expect(await Promise.all([reset.ended, left.ended])).toEqual(['RST', 'RST'])
  })

  test('delays every byte, in order', async () => {
    const { far, received } = await open()
    proxy.delay(150)
    const began = performance.now()
    far.write(BYTES.subarray(0, 1_000))
    await sleep(50)
    const wentOn = performance.now()
    far.write(BYTES.subarray(1_000, 2_000))
    await until(() => received().length > 0)
    expect(performance.now() - began).toBeGreaterThanOrEqual(150)
    await until(() => received().length === 2_000)
    expect(performance.now() - wentOn).toBeGreaterThanOrEqual(150)
    expect(received().equals(BYTES.subarray(0, 2_000))).toBe(true)
  })

  test('passes on at once, and in order, what was still delayed when it heals', async () => {
    const { far, received } = await open()
    proxy.delay(60_000)
    far.write(BYTES.subarray(0, 10))
    await sleep(A_MOMENT_MS)
    proxy.heal()
    far.write(BYTES.subarray(10, 20))
    await until(() => received().length === 20)
    expect(received().equals(BYTES.subarray(0, 20))).toBe(true)
  })

  test('half-closes: the client sees the end, and what it sends still arrives', async () => {
    const { socket, far, ended } = await open()
    const atServer = reader(far)
    proxy.halfClose()
    expect(await ended).toBe('FIN')
    socket.write('still here')
    await until(() => atServer().toString() === 'still here')
  })

  test('resets both sides', async () => {
    const { far, ended } = await open()
    const farFailed = new Promise((resolve) => far.once('error', resolve))
    proxy.reset()
    expect(await ended).toBe('RST')
    expect(await farFailed).toMatchObject({ code: 'ECONNRESET' })
  })

  test('resets who comes while the server is gone', async () => {
    for (const end of ends) end.destroy()
    server.close()
    await once(server, 'close')
    const socket = connect({ port: proxy.port, host: '127.0.0.1' })
    opened.push(socket)
    const failed = new Promise((resolve) => socket.once('error', resolve))
    expect(await failed).toMatchObject({ code: 'ECONNRESET' })
  })
})
