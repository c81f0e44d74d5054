import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { expect, test } from 'vitest'
import { type PostgresOptions, postgres } from '../../../src/backends/postgres/index.js'
import { sampleLocator } from '../../../src/testing/stored-session.js'

/** What PostgreSQL's protocol sends before anything else where TLS is wanted. */
const SSL_REQUEST = Buffer.from('0000000804d2162f', 'hex')

/** What a client says to a server that answers the wish for TLS with `answer`, and what becomes of the call. */
const conversation = async (answer: 'S' | 'N', options: PostgresOptions) => {
  const heard: Buffer[] = []
  const server = createServer((socket: Socket) => {
    socket.on('error', () => {})
    socket.on('data', (bytes: Buffer) => {
      heard.push(bytes)
      if (heard.length === 1) socket.write(answer)
      else socket.destroy()
    })
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const backend = postgres({ host: '127.0.0.1', port: (server.address() as AddressInfo).port, ...options })
  const error: unknown = await backend.read(sampleLocator()).catch((reason: unknown) => reason)
  await backend.close()
  server.close()
  return { wish: heard[0], hello: heard[1]?.toString('latin1') ?? '', error }
}

test('the option ssl reaches TLS as it is given', async () => {
  const { wish, hello, error } = await conversation('S', {
    ssl: { servername: 'db.example.net', ALPNProtocols: ['postgresql'] },
    password: 'b4d-s3cret',
  })
  expect(wish).toEqual(SSL_REQUEST)
  expect(hello).toContain('db.example.net')
  expect(hello).toContain('postgresql')
  expect(error).toMatchObject({ code: 'E_SESSION_UNAVAILABLE' })
})

test('a server without TLS is told nothing in the clear where TLS is wanted', async () => {
  const { wish, hello, error } = await conversation('N', { ssl: true, password: 'b4d-s3cret' })
  expect(wish).toEqual(SSL_REQUEST)
  expect(hello).toBe('')
  expect(error).toMatchObject({ code: 'E_SESSION_UNAVAILABLE', tier: expect.stringContaining('postgres 127.0.0.1') })
})
