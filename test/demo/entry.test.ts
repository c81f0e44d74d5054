import { createServer, request, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, expect, test } from 'vitest'
import { type Entry, startEntry, type Upstream } from '../../scripts/demo-app/entry.js'

const servers: Server[] = []
let entry: Entry | undefined

afterEach(async () => {
  await entry?.close()
  for (const server of servers.splice(0)) server.close()
})

const upstream = (name: string): Promise<Upstream> =>
  new Promise((resolve) => {
    const server = createServer((req, res) => {
      res.setHeader('Set-Cookie', ['a=1', 'b=2'])
      req.on('data', (chunk) => res.write(chunk)).on('end', () => res.end(`${name} ${req.headers.cookie ?? ''}`))
    })
    servers.push(server)
    server.listen(0, '127.0.0.1', () => resolve({ name, port: (server.address() as AddressInfo).port }))
  })

test('each request goes to the next process, with its body and its cookies', async () => {
  const upstreams = [await upstream('one'), await upstream('two')]
  entry = await startEntry({ upstreams: () => upstreams, port: 0 })
  const answers: string[] = []
  for (let at = 0; at < 4; at++) {
    const response = await fetch(entry.url, { method: 'POST', body: 'body ', headers: { Cookie: 'c=3' } })
    expect(response.headers.getSetCookie()).toEqual(['a=1', 'b=2'])
    answers.push(await response.text())
  }
  expect(answers).toEqual(['body one c=3', 'body two c=3', 'body one c=3', 'body two c=3'])
})

test('a process that cannot be reached is a 502, and none at all a 503', async () => {
  const gone = await upstream('gone')
  await new Promise((resolve) => servers.pop()?.close(resolve))
  let upstreams = [gone]
  entry = await startEntry({ upstreams: () => upstreams, port: 0 })
  expect((await fetch(entry.url)).status).toBe(502)
  upstreams = []
  expect((await fetch(entry.url)).status).toBe(503)
})

test('a foreign name that points to this machine is not served', async () => {
  const upstreams = [await upstream('one')]
  entry = await startEntry({ upstreams: () => upstreams, port: 0 })
  const { port } = new URL(entry.url)
  const status = await new Promise((resolve, reject) => {
    request({ host: '127.0.0.1', port, headers: { Host: 'evil.example' } }, (res) => {
      res.resume()
      resolve(res.statusCode)
    })
      .once('error', reject)
      .end()
  })
  expect(status).toBe(421)
})
