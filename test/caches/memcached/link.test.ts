import { afterEach, expect, test } from 'vitest'
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
  const asked = Array.from({ length: 35 }, () => link.ask({ opcode: OPCODE.noop }))
  for (const { response } of await Promise.all(asked)) expect(response.status).toBe(0)
  // The waiters of the first connection all go over it; from then on it is worn.
  for (let call = 0; call < 35; call += 1) await link.ask({ opcode: OPCODE.noop })
  expect(server.connections.made).toBe(1 + Math.ceil(35 / 9))
  const { generation } = await link.ask({ opcode: OPCODE.noop })
  for (let call = 0; call < 10; call += 1) await link.ask({ opcode: OPCODE.noop })
  expect(link.askOver(generation, { opcode: OPCODE.noop })).toBeUndefined()
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
