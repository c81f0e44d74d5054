import { afterEach, expect, test } from 'vitest'
import { type Connect, connect } from '../../../src/caches/memcached/connecting.js'
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

test.each([2 ** 31, 2 ** 32])('the numbers of requests pass %i without a hitch', async (border) => {
  await open((to, options, signal) => connect(to, { ...options, lastNumber: border - 20 }, signal))
  const ask = () => link.ask({ opcode: OPCODE.noop })
  // In flight together on both sides of the border.
  const answers = await Promise.all(Array.from({ length: 60 }, ask))
  expect(answers.map(({ response }) => response.status)).toEqual(answers.map(() => 0))
  expect(await ask()).toMatchObject({ response: { status: 0 } })
  expect(server.connections.made).toBe(1)
})

const answer = (opaque: number, value: string): Buffer => {
  const bytes = Buffer.alloc(24 + value.length)
  bytes.writeUInt8(0x81, 0)
  bytes.writeUInt32BE(value.length, 8)
  bytes.writeUInt32BE(opaque, 12)
  bytes.write(value, 24)
  return bytes
}

test('answers are found wherever the network cuts them', () => {
  const stream = Buffer.concat([answer(1, ''), answer(2, 'two'), answer(3, 'x'.repeat(300)), answer(4, 'four')])
  for (let size = 1; size <= stream.length; size += 1) {
    const found: [number, number][] = []
    const reader = new FrameReader({
      admit: () => 1_000,
      strange: () => new Error('not reached'),
      take: ({ opaque, value }) => found.push([opaque, value.length]),
    })
    for (let at = 0; at < stream.length; at += size) reader.push(stream.subarray(at, at + size))
    expect(found).toEqual([
      [1, 0],
      [2, 3],
      [3, 300],
      [4, 4],
    ])
  }
})

test('a value that is larger than is taken passes by, wherever the network cuts it, and costs no other answer', () => {
  const stream = Buffer.concat([answer(1, 'one'), answer(2, 'x'.repeat(300)), answer(3, 'three')])
  for (let size = 1; size <= stream.length; size += 1) {
    const found: [number, string, number][] = []
    const reader = new FrameReader({
      admit: () => 10,
      strange: () => new Error('not reached'),
      take: ({ opaque, value, omittedBytes }) => found.push([opaque, Buffer.from(value).toString(), omittedBytes]),
    })
    for (let at = 0; at < stream.length; at += size) reader.push(stream.subarray(at, at + size))
    expect(found).toEqual([
      [1, 'one', 0],
      [2, '', 300],
      [3, 'three', 0],
    ])
  }
})
