import { existsSync } from 'node:fs'
import { connect } from 'node:net'
import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type FreshSchema, freshSchema, ownMemcached, ownPostgres, sharedPostgres, skipUnless } from './servers.js'

const say = (port: number, words: string): Promise<string> =>
  new Promise((resolve) => {
    let heard = ''
    const connection = connect({ host: '127.0.0.1', port }, () => connection.write(`${words}\r\nquit\r\n`))
    connection.setTimeout(300, () => connection.destroy())
    connection.on('data', (bytes) => {
      heard += bytes.toString('latin1')
    })
    connection.on('error', () => {})
    connection.on('close', () => resolve(heard))
  })

skipUnless('a memcached of our own', await ownMemcached(), (startMemcached) => {
  test('forgets everything when it is killed, and returns at the same port', async () => {
    const server = await startMemcached()
    try {
      const { port, pid } = server
      await say(port, 'set a 0 0 1\r\nx')
      expect(await say(port, 'get a')).toContain('VALUE a')

      await server.kill9()
      expect(await say(port, 'get a')).toBe('')

      await server.restart()
      expect(server.port).toBe(port)
      expect(server.pid).not.toBe(pid)
      expect(await say(port, 'get a')).toBe('END\r\n')
    } finally {
      await server.stop()
    }
  })

  test('accepts connections and says nothing while it is paused', async () => {
    const server = await startMemcached()
    try {
      server.pause()
      expect(await say(server.port, 'version')).toBe('')
      server.resume()
      expect(await say(server.port, 'version')).toContain('VERSION')
    } finally {
      await server.stop()
    }
  })

  test('listens on a unix socket instead, and leaves no socket behind', async () => {
    const server = await startMemcached({ unixSocket: true })
    expect(existsSync(server.address)).toBe(true)
    await server.stop()
    expect(existsSync(server.address)).toBe(false)
  })
})

skipUnless('a schema of our own on the shared PostgreSQL', await sharedPostgres(), (postgres) => {
  let fresh: FreshSchema
  beforeAll(async () => {
    fresh = await freshSchema(postgres)
  })
  afterAll(() => fresh.drop())

  test('is empty, and can be dropped while somebody is connected, and twice', async () => {
    const client = new pg.Client({ connectionString: fresh.connectionString })
    client.on('error', () => {})
    await client.connect()
    const { rows } = await client.query('select 1 from pg_namespace where nspname = $1', [fresh.schema])
    expect(rows).toEqual([])
    await client.query(`create schema ${fresh.schema} create table t (a int)`)
    const another = await freshSchema(postgres)
    await another.drop()
    await another.drop()
    await fresh.drop()
    await client.end().catch(() => {})
  })
})

skipUnless('a PostgreSQL of our own', ownPostgres(), (startPostgres) => {
  test('keeps what it committed when all its processes are killed at once', async () => {
    const server = await startPostgres({ fsync: false })
    try {
      await ask(server.adminUrl, 'create table kept (a int)')
      await ask(server.adminUrl, 'insert into kept values (7)')
      await server.kill9()
      // The system may still take a connection for a moment, to reset it.
      const refusal = (): Promise<string> => ask(server.adminUrl, 'select 1').then(String, String)
      await expect.poll(refusal).toMatch(/ECONNREFUSED/)
      await server.restart()
      expect(await ask(server.adminUrl, 'select a from kept')).toEqual([{ a: 7 }])
    } finally {
      await server.stop()
    }
  })
})

const ask = async (url: string, statement: string): Promise<unknown[]> => {
  const client = new pg.Client({ connectionString: url })
  client.on('error', () => {})
  await client.connect()
  try {
    return (await client.query(statement)).rows
  } finally {
    await client.end()
  }
}
