import { afterEach, expect, test } from 'vitest'
import { type Connection, Unsent } from '../../../src/caches/memcached/connection.js'
import { openServer } from '../../../src/caches/memcached/hardened-server.js'
import { OPCODE } from '../../../src/caches/memcached/protocol.js'
import { parseServers } from '../../../src/caches/memcached/servers.js'
import { type ScriptedMemcached, scriptedMemcached } from '../../../src/testing/scripted-memcached.js'
import { type MovedClock, movedClock } from '../support/moved-clock.js'

let server: ScriptedMemcached
let connection: Connection
let clock: MovedClock
afterEach(async () => {
  connection.destroy(new Error('the test is over'))
  await server.close()
})

const open = async (): Promise<void> => {
  clock = movedClock()
  server = await scriptedMemcached()
  const [address] = parseServers(server.address)
  if (address === undefined) throw new Error('no server')
  connection = openServer(address, { log: () => {}, runtime: clock })
}

const NOOP = { opcode: OPCODE.noop }
const VERSION = { opcode: 0x0b }
const aRound = (): Promise<void> => new Promise((resolve) => setImmediate(() => setImmediate(resolve)))

test.each(['lose-answer', 'delay'] as const)('answers out of turn (%s) end the connection at once', async (kind) => {
  await open()
  await connection.request(NOOP, 100)
  server.faults.add({ kind, ms: 60_000 }, { on: 'version', times: 1 })
  // Nobody moves the clock: it is not the deadline that ends it.
  const calls = await Promise.allSettled([
    connection.request(NOOP, 100),
    connection.request(VERSION, 100),
    connection.request(NOOP, 100),
    connection.request(VERSION, 100),
  ])
  expect(calls.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'rejected', 'rejected'])
  expect(connection.ended?.cause.message).toBe('it answered what was not asked')
})

test('each request has a deadline of its own, whatever was asked before it and with what deadline', async () => {
  await open()
  await connection.request(NOOP, 1000)
  server.faults.add({ kind: 'hang' }, { on: 'version' })
  clock.advance(60)
  const calls = Promise.allSettled([connection.request(VERSION, 100), connection.request(NOOP, 70)])
  await server.arrival('noop', 2)
  for (const ms of [40, 29]) {
    clock.advance(ms)
    await aRound()
    expect(connection.ended).toBeUndefined()
  }
  clock.advance(1)
  expect((await calls).map(({ status }) => status)).toEqual(['rejected', 'rejected'])
  expect(connection.ended).toMatchObject({ cause: { message: 'it did not answer within 70 ms' }, atMs: 130 })
})

test('a deadline that is set while another is pending is kept when the clock is moved over both at once', async () => {
  await open()
  await connection.request(NOOP, 100)
  clock.advance(60)
  server.faults.add({ kind: 'hang' }, { on: 'version' })
  const call = expect(connection.request(VERSION, 100)).rejects.toThrow('it did not answer within 100 ms')
  await server.arrival('version')
  clock.advance(100)
  await call
})

test('a retired connection answers what it was asked, takes nothing more, and ends', async () => {
  await open()
  const calls = [connection.request(NOOP, 100), connection.request(VERSION, 100)]
  connection.retire()
  await expect(connection.request(NOOP, 100)).rejects.toBeInstanceOf(Unsent)
  expect((await Promise.all(calls)).map(({ response }) => response.status)).toEqual([0, 0])
  expect(connection.ended?.cause.message).toBe('the connection was closed')
  await expect.poll(() => server.connections.open).toBe(0)
})

test('answers that came before bytes of another protocol count', async () => {
  await open()
  await connection.request(NOOP, 100)
  const change = (answer: Uint8Array): Uint8Array => Buffer.concat([answer, Buffer.from('ERROR\r\n'.repeat(9))])
  server.faults.add({ kind: 'tamper', change }, { on: 'version', times: 1 })
  const calls = await Promise.allSettled([connection.request(VERSION, 100), connection.request(NOOP, 100)])
  expect(calls.map(({ status }) => status)).toEqual(['fulfilled', 'rejected'])
  expect(connection.ended?.cause.message).toBe('it sent bytes that are no answer')
})

/** The head of an answer that claims so many bytes behind it. */
const head = (opcode: number, opaque: number, bodyBytes: number): Buffer => {
  const bytes = Buffer.alloc(24)
  bytes.writeUInt16BE(0x8100 | opcode, 0)
  bytes.writeUInt32BE(bodyBytes, 8)
  bytes.writeUInt32BE(opaque, 12)
  return bytes
}

/** The number of the first request of a connection; the next have the next. */
const FIRST = 0x0d0a_0d0a
const GIBIBYTE = 2 ** 30

test.each([
  ['one byte that nobody asked for', 0, Buffer.from([0x81]), 'it answered what was not asked'],
  ['a byte of another protocol', 0, Buffer.from('E'), 'it sent bytes that are no answer'],
  ['an answer to what was never asked', 1, head(0x0b, 0xdead_beef, GIBIBYTE), 'it answered what was not asked'],
  ['an answer to another command', 1, head(0x0c, FIRST + 1, GIBIBYTE), 'it answered another command than was sent'],
  ['an answer larger than it can be', 1, head(0x0b, FIRST + 1, 5_000), 'it sent an answer of an impossible length'],
] as const)('%s ends the connection before any more has come', async (_, waiting, bytes, because) => {
  await open()
  await connection.request(NOOP, 100)
  server.faults.add({ kind: 'hang' }, { on: 'version' })
  const calls = Promise.allSettled(Array.from({ length: waiting }, () => connection.request(VERSION, 100)))
  if (waiting > 0) await server.arrival('version')
  server.say(bytes)
  await expect.poll(() => server.connections.open).toBe(0)
  expect((await calls).map(({ status }) => status)).toEqual(Array.from({ length: waiting }, () => 'rejected'))
  expect(connection.ended?.cause.message).toBe(because)
})
