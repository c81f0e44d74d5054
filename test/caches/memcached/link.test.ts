import { afterEach, expect, test, vi } from 'vitest'
import { type Connect, connect } from '../../../src/caches/memcached/connection.js'
import { FrameReader } from '../../../src/caches/memcached/frames.js'
import { ServerLink } from '../../../src/caches/memcached/link.js'
import { resolveOptions } from '../../../src/caches/memcached/options.js'
import { OPCODE } from '../../../src/caches/memcached/protocol.js'
import { type ScriptedMemcached, scriptedMemcached } from '../../../src/testing/scripted-memcached.js'

let server: ScriptedMemcached
let link: ServerLink
afterEach(async () => {
  link.close()
  await server.close()
})

const open = async (connectTo: Connect): Promise<void> => {
  server = await scriptedMemcached()
  const options = resolveOptions({ servers: server.address })
  const [address] = options.servers
  if (address === undefined) throw new Error('no server')
  link = new ServerLink(address, options, connectTo)
}

test('a connection is retired before memjs runs out of numbers, and fails nothing by that', async () => {
  await open((to, options, signal) => connect(to, { ...options, maxRequests: 10 }, signal))
  const ask = () => link.ask({ opcode: OPCODE.noop })
  const { generation } = await ask()
  // All in flight at once: the connection is worn while most of its own are not answered yet.
  const answers = await Promise.all(Array.from({ length: 35 }, ask))
  expect(answers.map(({ response }) => response.status)).toEqual(answers.map(() => 0))
  expect(server.connections.made).toBeGreaterThan(1)
  expect(link.askOver(generation, { opcode: OPCODE.noop })).toBeUndefined()

  const before = server.connections.made
  for (let call = 0; call < 45; call += 1) await ask()
  expect(server.connections.made - before).toBeGreaterThanOrEqual(4)
  await vi.waitFor(() => expect(server.connections.open).toBe(1))
})

test('answers are found wherever the network cuts them', () => {
  const answer = (opaque: number, value: string): Buffer => {
    const bytes = Buffer.alloc(24 + value.length)
    bytes.writeUInt8(0x81, 0)
    bytes.writeUInt32BE(value.length, 8)
    bytes.writeUInt32BE(opaque, 12)
    bytes.write(value, 24)
    return bytes
  }
  const stream = Buffer.concat([answer(1, ''), answer(2, 'two'), answer(3, 'x'.repeat(300)), answer(4, 'four')])
  for (let size = 1; size <= stream.length; size += 1) {
    const reader = new FrameReader()
    const found: [number, number][] = []
    for (let at = 0; at < stream.length; at += size)
      for (const { opaque, value } of reader.push(stream.subarray(at, at + size))) found.push([opaque, value.length])
    expect(found).toEqual([
      [1, 0],
      [2, 3],
      [3, 300],
      [4, 4],
    ])
  }
})
