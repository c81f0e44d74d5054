import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type pg from 'pg'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { findExecutable, findPsql } from '../../../scripts/servers/find.js'
import { migrate } from '../../../src/backends/postgres/migrate.js'
import { MIGRATIONS } from '../../../src/backends/postgres/migrations.js'
import { quoteIdentifier } from '../../../src/backends/postgres/setup-names.js'
import { setupCommand } from '../../../src/cli/commands/setup.js'
import { dumpSchema } from '../../../src/cli/doctor/schema-dump.js'
import { absent, ownPostgres, type PostgresServer, skipUnless } from '../../support/servers.js'
import { connected, type Ended, elsewhere, RELOAD, run } from './reload-support.js'

// Processes by the dozen, on whatever machine.
vi.setConfig({ testTimeout: 300_000 })

const ALL = MIGRATIONS.map(({ name }) => name)
const SNAPSHOT = readFileSync(new URL('../../snapshots/schema.sql', import.meta.url), 'utf8')

const psql = findPsql()
const CARRIERS = psql === undefined ? ['node'] : ['psql', 'node']

/** Nobody listens on port 1. */
const NOWHERE = 'postgres://postgres:quite-secret@127.0.0.1:1/postgres'

let numbered = 0
/** Names that no other test has. */
const newNames = (): { readonly database: string; readonly role: string } => {
  numbered += 1
  return { database: `db${numbered}`, role: `role${numbered}` }
}

const toArgs = (options: Readonly<Record<string, string>>): string[] =>
  Object.entries(options).map(([name, value]) => `--${name}=${value}`)

interface Report {
  readonly url: string
  readonly passwordIsNew: boolean
  readonly via: string
  readonly said: readonly string[]
}

const reportOf = (ended: Ended): Report => {
  expect(ended).toMatchObject({ code: 0, stderr: '' })
  return JSON.parse(ended.stdout) as Report
}

const migrateAs = (
  url: string,
  names: { schema: string; table: string; partitions?: number },
): Promise<readonly string[]> =>
  connected(url, async (client) => {
    const query = (text: string, values?: readonly unknown[]) => client.query(text, values && [...values])
    return (await migrate({ query }, names)).applied
  })

/** What the program does with its table, in short. */
const useTable = async (client: pg.Client, schema: string, table: string): Promise<void> => {
  const name = `${quoteIdentifier(schema)}.${quoteIdentifier(table)}`
  await client.query(
    `insert into ${name} (namespace, id_hash, lineage, version, data, created_at, seen_at, expires_at, absolute_expires_at, purge_hour)
     values ('a', '\\x01', '\\x0102030405060708', 1, '\\x00', now(), now(), now(), now(), 1)`,
  )
  await client.query(`update ${name} set version = 2`)
  expect((await client.query(`select version from ${name}`)).rows).toEqual([{ version: '2' }])
  await client.query(`delete from ${name}`)
  const records = `${quoteIdentifier(schema)}.${quoteIdentifier(`${table}_user_record`)}`
  await client.query(
    `insert into ${records} (namespace, user_hash, user_id, epoch, revision)
     values ('a', sha256(convert_to('ada', 'UTF8')), 'ada', 1, 1)`,
  )
  await client.query(`update ${records} set epoch = 2`)
  await client.query(`delete from ${records}`)
}

skipUnless('sql/reload', ownPostgres(), (startPostgres) => {
  let server: PostgresServer
  let folder: string
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'nonstick-reload-'))
    server = await startPostgres({
      fsync: false,
      logFile: join(folder, 'server.log'),
      settings: { log_statement: 'all', log_min_error_statement: 'debug1' },
    })
  })
  afterAll(async () => {
    await server.stop()
    rmSync(folder, { recursive: true, force: true })
  })

  const reload = (args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<Ended> =>
    run(RELOAD, args, { env: { NONSTICK_ADMIN_URL: server.adminUrl, ...env } })
  const asAdmin = <T>(database: string, work: (client: pg.Client) => Promise<T>): Promise<T> =>
    connected(elsewhere(server.adminUrl, { database }), work)
  const dump = (database: string, schema = 'nonstick'): Promise<string> =>
    asAdmin(database, (client) => dumpSchema(client, schema))
  describe.each(CARRIERS)('by %s', (via) => {
    test.concurrent('makes role, database and schema, and shows the new password once', async () => {
      const names = newNames()
      const first = await reload([...toArgs(names), `--via=${via}`])
      expect(first).toMatchObject({ code: 0, stderr: '' })
      expect(first.stdout).toContain(`created role "${names.role}"`)
      const url = /^the program connects to (postgres:\S+)$/m.exec(first.stdout)?.[1] ?? ''
      const password = new URL(url).password
      expect(password).toHaveLength(24)
      await connected(url, (client) => useTable(client, 'nonstick', 'session'))
      expect(await dump(names.database)).toBe(SNAPSHOT)

      const second = await reload([...toArgs(names), `--via=${via}`])
      expect(second).toMatchObject({ code: 0, stderr: '' })
      expect(second.stdout).toContain('is there and up to date')
      expect(second.stdout).not.toContain(password)
      expect(new URL(/postgres:\S+/.exec(second.stdout)?.[0] ?? '').password).toBe('')
      await connected(url, (client) => useTable(client, 'nonstick', 'session'))
      expect(await dump(names.database)).toBe(SNAPSHOT)
    })

    test.concurrent('by eight at once makes everything, and one of them tells the password', async () => {
      const names = newNames()
      const reports = (
        await Promise.all(Array.from({ length: 8 }, () => reload([...toArgs(names), `--via=${via}`, '--json'])))
      ).map(reportOf)
      expect(new Set(reports.map((report) => report.via))).toEqual(new Set([via]))
      const creators = reports.filter(({ passwordIsNew }) => passwordIsNew)
      expect(creators).toHaveLength(1)
      await connected(creators[0]?.url ?? '', (client) => useTable(client, 'nonstick', 'session'))
      expect(reports.flatMap(({ said }) => said.filter((line) => line.startsWith('applied')))).toHaveLength(1)
      expect(await dump(names.database)).toBe(SNAPSHOT)
    })

    test.concurrent('takes names with quotes, capitals and other oddities as they are', async () => {
      const names = {
        database: `D'b "x" = ${via} \\ %41 $$`,
        role: `Ro'le "${via}" \\ :x`,
        schema: `Sche'ma ":"table"" $nonstick$`,
        table: `Ta'b "le" \\ $nonstick$ :'y'`,
      }
      const args = [...toArgs(names), `--via=${via}`, '--json']
      const report = reportOf(await reload(args))
      expect(report.passwordIsNew).toBe(true)
      await connected(report.url, (client) => useTable(client, names.schema, names.table))
      expect(await migrateAs(report.url, names)).toEqual([])
      expect(reportOf(await reload(args)).passwordIsNew).toBe(false)
    })

    test.concurrent('leaves the role able to bring its table up to date itself, without being superuser', async () => {
      const names = newNames()
      const { url } = reportOf(await reload([...toArgs(names), `--via=${via}`, '--json']))
      expect(await migrateAs(url, { schema: 'nonstick', table: 'session' })).toEqual([])
      expect(await migrateAs(url, { schema: 'nonstick', table: 'another' })).toEqual(ALL)
      await connected(url, async (client) => {
        await client.query('alter table nonstick.session add column later integer')
        const { rows } = await client.query(
          'select rolsuper, rolcreatedb, rolcreaterole from pg_roles where rolname = current_user',
        )
        expect(rows).toEqual([{ rolsuper: false, rolcreatedb: false, rolcreaterole: false }])
      })
    })

    test.concurrent("makes the table in partitions that are the role's, and refuses another number of them", async () => {
      const names = { ...newNames(), schema: `Sche'ma ":"table"" $nonstick$`, table: `Ta'b "le" %s \\ $nonstick$ :'y'` }
      const args = [...toArgs(names), `--via=${via}`, '--json']
      const { url } = reportOf(await reload([...args, '--partitions=16']))
      await connected(url, (client) => useTable(client, names.schema, names.table))
      expect(await migrateAs(url, { ...names, partitions: 16 })).toEqual([])
      for (const unchanged of [args, [...args, '--partitions=16']])
        expect(reportOf(await reload(unchanged)).said.join()).toContain('is there and up to date')
      const other = await reload([...args, '--partitions=4'])
      expect(other.code).toBe(1)
      expect(other.stderr).toContain('is there already, with 16 partitions, and 4 partitions were asked for')
      expect(other.stderr).toContain('docs/set-up.md')
      const owners = await connected(url, async (client) =>
        client.query(
          'select distinct pg_get_userbyid(relowner) as owner from pg_class join pg_inherits on inhrelid = oid',
        ),
      )
      expect(owners.rows).toEqual([{ owner: names.role }])
      const own = { schema: names.schema, table: 'own', partitions: 4 }
      expect(await migrateAs(url, own)).toEqual(ALL)
    })

    test.concurrent('leaves a table in one part as it is where partitions are asked for', async () => {
      const names = newNames()
      const args = [...toArgs(names), `--via=${via}`, '--json']
      reportOf(await reload(args))
      const refused = await reload(args, { NONSTICK_POSTGRES_PARTITIONS: '16' })
      expect(refused.code).toBe(1)
      expect(refused.stderr).toContain('is there already, not partitioned, and 16 partitions were asked for')
      expect(await dump(names.database)).toBe(SNAPSHOT)
    })

    test.concurrent('takes the password from the environment or a file, and sets it on a role that is there', async () => {
      const names = newNames()
      const args = [...toArgs(names), `--via=${via}`, '--json']
      const login = (password: string): Promise<unknown> =>
        connected(
          elsewhere(server.adminUrl, { database: names.database, user: names.role, password }),
          async (client) => (await client.query("select current_setting('search_path')")).rows,
        )
      const first = await reload(args, { NONSTICK_PASSWORD: "it's $ecret: 1 \\" })
      expect(first.stdout).not.toContain('ecret')
      expect(reportOf(first).passwordIsNew).toBe(false)
      await login("it's $ecret: 1 \\")

      const file = join(folder, `password-${names.role}`)
      writeFileSync(file, 'another one\n')
      reportOf(await reload([...args, `--password-file=${file}`]))
      await login('another one')
      await expect(login("it's $ecret: 1 \\")).rejects.toMatchObject({ code: '28P01' })

      const byInput = await run(RELOAD, [...args, '--password'], {
        env: { NONSTICK_ADMIN_URL: server.adminUrl },
        input: 'a third\n',
      })
      reportOf(byInput)
      await login('a third')
      expect(readFileSync(join(folder, 'server.log'), 'utf8')).toContain('create role')
      expect(readFileSync(join(folder, 'server.log'), 'utf8')).not.toMatch(/\$ecret|another one|a third/)
    })

    test.concurrent('gives the role its time-outs in this database, and respects what is set already', async () => {
      const names = newNames()
      const { url } = reportOf(await reload([...toArgs(names), `--via=${via}`, '--json']))
      const settings = (): Promise<unknown> =>
        connected(url, async (client) => {
          const { rows } = await client.query<{ s: string }>(
            `select concat_ws(' ', current_setting('statement_timeout'), current_setting('lock_timeout'),
               current_setting('idle_in_transaction_session_timeout'), current_setting('log_parameter_max_length')) as s`,
          )
          return rows[0]?.s
        })
      expect(await settings()).toBe('10s 5s 10s 0')
      await asAdmin('postgres', (client) =>
        client.query(`alter role ${names.role} in database ${names.database} set statement_timeout = '3s'`),
      )
      reportOf(await reload([...toArgs(names), `--via=${via}`, '--json']))
      expect(await settings()).toBe('3s 5s 10s 0')
    })

    test.concurrent('closes a new database to everybody else', async () => {
      const names = newNames()
      reportOf(await reload([...toArgs(names), `--via=${via}`, '--json']))
      await asAdmin('postgres', async (client) => {
        const stranger = `stranger_${names.role}`
        await client.query(`create role ${stranger}`)
        const { rows } = await client.query('select has_database_privilege($1, $2, $3) as may', [
          stranger,
          names.database,
          'connect',
        ])
        expect(rows).toEqual([{ may: false }])
      })
    })

    test.concurrent('works for an administrator who is no superuser', async () => {
      const names = newNames()
      const admin = `admin_${names.role}`
      await asAdmin('postgres', (client) =>
        client.query(`create role ${admin} login createdb createrole password 'admin'`),
      )
      const env = {
        NONSTICK_ADMIN_URL: elsewhere(server.adminUrl, { database: 'postgres', user: admin, password: 'admin' }),
      }
      const { url } = reportOf(await reload([...toArgs(names), `--via=${via}`, '--json'], env))
      await connected(url, (client) => useTable(client, 'nonstick', 'session'))
      expect(await migrateAs(url, { schema: 'nonstick', table: 'another' })).toEqual(ALL)
      expect(reportOf(await reload([...toArgs(names), `--via=${via}`, '--json'], env)).passwordIsNew).toBe(false)
      expect(await dump(names.database)).toContain('session')
    })

    test.concurrent('waits for a program that migrates in the same moment', async () => {
      const names = newNames()
      reportOf(await reload([...toArgs(names), `--via=${via}`, '--json']))
      await asAdmin(names.database, async (other) => {
        let ended: Promise<Ended> | undefined
        const query = async (text: string, values?: readonly unknown[]) => {
          // Everything is done but the commit: now the script comes, and must wait.
          if (text === 'commit') {
            ended = reload([...toArgs(names), `--via=${via}`, '--json', '--table=other'])
            await asAdmin('postgres', (observer) => untilSomebodyWaits(observer, names.database))
          }
          return other.query(text, values && [...values])
        }
        expect((await migrate({ query }, { schema: 'nonstick', table: 'other' })).applied).toEqual(ALL)
        expect(reportOf((await ended) as Ended).said).toContain('table "nonstick"."other" is there and up to date')
      })
    })

    test.concurrent('refuses a schema that is newer, and changes nothing', async () => {
      const names = newNames()
      reportOf(await reload([...toArgs(names), `--via=${via}`, '--json']))
      await asAdmin(names.database, (client) =>
        client.query("insert into nonstick.migration values ('session', 99, '0099_later', '')"),
      )
      const before = await dump(names.database)
      const ended = await reload([...toArgs(names), `--via=${via}`])
      expect(ended.code).toBe(1)
      expect(ended.stderr).toContain('newer than this copy of nonstick')
      expect(await dump(names.database)).toBe(before)
    })

    test.concurrent('leaves a newer schema alone that this copy still works with', async () => {
      const names = newNames()
      reportOf(await reload([...toArgs(names), `--via=${via}`, '--json']))
      await asAdmin(names.database, (client) =>
        client.query(
          `insert into nonstick.migration (table_name, number, name, checksum, compatible_from)
           values ('session', 99, '0099_later', '', ${MIGRATIONS.length})`,
        ),
      )
      const before = await dump(names.database)
      const { said } = reportOf(await reload([...toArgs(names), `--via=${via}`, '--json']))
      expect(said).toContain('table "nonstick"."session" is there and up to date')
      expect(await dump(names.database)).toBe(before)
    })

    test.concurrent('brings a list of migrations up to date that cannot tell yet what is compatible', async () => {
      const names = newNames()
      reportOf(await reload([...toArgs(names), `--via=${via}`, '--json']))
      const before = await dump(names.database)
      await asAdmin(names.database, (client) =>
        client.query('alter table nonstick.migration drop column compatible_from'),
      )
      reportOf(await reload([...toArgs(names), `--via=${via}`, '--json']))
      expect(await dump(names.database)).toBe(before)
    })

    test.concurrent('leaves a table that belongs to a third party to its owner, and lets the role use it', async () => {
      const names = newNames()
      reportOf(await reload([...toArgs(names), `--via=${via}`, '--json']))
      const second = { ...names, role: `${names.role}_second` }
      const { url } = reportOf(await reload([...toArgs(second), `--via=${via}`, '--json']))
      await connected(url, (client) => useTable(client, 'nonstick', 'session'))
      expect(await migrateAs(url, { schema: 'nonstick', table: 'session' })).toEqual([])
      await asAdmin(names.database, async (client) => {
        const { rows } = await client.query("select distinct tableowner from pg_tables where schemaname = 'nonstick'")
        expect(rows).toEqual([{ tableowner: names.role }])
      })
    })

    test.concurrent('tells what is wrong without the password of the administrator', async () => {
      const wrong = elsewhere(server.adminUrl, { database: 'postgres', password: 'quite-wrong' })
      const ended = await reload([...toArgs(newNames()), `--via=${via}`], { NONSTICK_ADMIN_URL: wrong })
      expect(ended.code).toBe(1)
      expect(ended.stderr).toContain('password authentication failed')
      expect(ended.stdout + ended.stderr).not.toContain('quite-wrong')
    })

    test.concurrent('does not lose the new password when something fails afterwards', async () => {
      const names = newNames()
      // A foreign table of our name, in a database that is there already.
      await asAdmin('postgres', (client) => client.query(`create database ${names.database}`))
      await asAdmin(names.database, (client) => client.query('create schema nonstick create table session (sid text)'))
      const ended = await reload([...toArgs(names), `--via=${via}`])
      expect(ended.code).toBe(1)
      const password = /shown only now: (\S+)/.exec(ended.stderr)?.[1] ?? ''
      await connected(elsewhere(server.adminUrl, { database: names.database, user: names.role, password }), (client) =>
        client.query('select 1'),
      )
    })

    test.concurrent('--drop that is not confirmed changes nothing', async () => {
      const names = newNames()
      reportOf(await reload([...toArgs(names), `--via=${via}`, '--json']))
      await asAdmin(names.database, (client) => client.query('create table nonstick.kept (a integer)'))
      const ended = await reload([...toArgs(names), `--via=${via}`, '--drop'])
      expect(ended).toMatchObject({ code: 2, stdout: '' })
      expect(ended.stderr).toContain('Nothing was changed')
      await asAdmin(names.database, (client) => client.query('select a from nonstick.kept'))
    })

    test.concurrent('--drop --yes begins anew, also under somebody who is connected, and keeps the role', async () => {
      const names = newNames()
      const { url } = reportOf(await reload([...toArgs(names), `--via=${via}`, '--json']))
      await asAdmin(names.database, (client) => client.query('create table nonstick.gone (a integer)'))
      const bystander = connected(url, (client) => client.query('select pg_sleep(30)'))
      const cut = expect(bystander).rejects.toThrow(/terminat/)
      const ended = await reload([...toArgs(names), `--via=${via}`, '--drop', '--yes'])
      await cut
      expect(ended).toMatchObject({ code: 0, stderr: '' })
      expect(ended.stdout).toContain(`dropped database "${names.database}"`)
      expect(await dump(names.database)).toBe(SNAPSHOT)
      await connected(url, (client) => useTable(client, 'nonstick', 'session'))
    })

    test.concurrent('--drop refuses a database that holds something else', async () => {
      const names = newNames()
      reportOf(await reload([...toArgs(names), `--via=${via}`, '--json']))
      await asAdmin(names.database, (client) => client.query('create table public.invoices (a integer)'))
      const ended = await reload([...toArgs(names), `--via=${via}`, '--drop', '--yes'])
      expect(ended.code).toBe(1)
      expect(ended.stderr).toContain('public.invoices')
      expect(ended.stderr).toContain('Nothing was changed')
      await asAdmin(names.database, (client) => client.query('select a from public.invoices'))
    })

    test.concurrent('--drop of what is not there sets up', async () => {
      const names = newNames()
      const ended = await reload([...toArgs(names), `--via=${via}`, '--drop', '--yes'])
      expect(ended).toMatchObject({ code: 0, stderr: '' })
      expect(await dump(names.database)).toBe(SNAPSHOT)
    })
  })

  skipUnless('with psql', psql ?? absent('there is no psql here'), (program) => {
    /** As a user would, with a psqlrc in the way and no option that helps. */
    const pipe = (script: string): Promise<Ended> => {
      const home = join(folder, 'home')
      mkdirSync(home, { recursive: true })
      writeFileSync(join(home, '.psqlrc'), '\\set AUTOCOMMIT off\n\\timing on\n\\set QUIET off\n\\pset border 2\n')
      const { port, password } = new URL(server.adminUrl)
      const env = { HOME: home, PSQLRC: join(home, '.psqlrc'), PGHOST: '127.0.0.1', PGPORT: port, PGUSER: 'postgres' }
      return run(program, [], { env: { ...env, PGPASSWORD: password }, input: script })
    }
    const print = async (args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<string> => {
      const ended = await reload([...args, '--print'], env)
      expect(ended).toMatchObject({ code: 0, stderr: '' })
      return ended.stdout
    }

    test.concurrent('--print touches nothing, says the same each time, and holds no password', async () => {
      const names = newNames()
      const env = { NONSTICK_ADMIN_URL: NOWHERE }
      const script = await print(toArgs(names), env)
      expect(await print(toArgs(names), env)).toBe(script)
      expect(script).not.toContain('quite-secret')
      expect(await print(toArgs(names), { ...env, NONSTICK_PASSWORD: 'hush hush' })).not.toContain('hush')
    })

    test.concurrent('--print | psql does the same as sql/reload, twice', async () => {
      const names = newNames()
      const script = await print(toArgs(names), { NONSTICK_PASSWORD: 'hush hush' })
      const first = await pipe(script)
      expect(first).toMatchObject({ code: 0, stderr: '' })
      expect(first.stdout).toContain(`created database "${names.database}"`)
      expect(await dump(names.database)).toBe(SNAPSHOT)
      const second = await pipe(script)
      expect(second).toMatchObject({ code: 0, stderr: '' })
      expect(second.stdout).toContain('is there and up to date')
      expect(await dump(names.database)).toBe(SNAPSHOT)
      const url = elsewhere(server.adminUrl, { database: names.database, user: names.role, password: 'hush hush' })
      await connected(url, (client) => useTable(client, 'nonstick', 'session'))
      expect(await migrateAs(url, { schema: 'nonstick', table: 'session' })).toEqual([])
    })

    test.concurrent('--print | psql eight times at once', async () => {
      const names = newNames()
      const script = await print(toArgs(names))
      const ended = await Promise.all(Array.from({ length: 8 }, () => pipe(script)))
      for (const one of ended) expect(one).toMatchObject({ code: 0, stderr: '' })
      expect(ended.filter(({ stdout }) => stdout.includes('created role'))).toHaveLength(1)
      expect(ended.filter(({ stdout }) => stdout.includes('created database'))).toHaveLength(1)
      expect(ended.filter(({ stdout }) => stdout.includes('applied '))).toHaveLength(1)
      expect(await dump(names.database)).toBe(SNAPSHOT)
    })

    test.concurrent('--print without a password makes a role that cannot log in with one, and says how to give it one', async () => {
      const names = newNames()
      const { stdout } = await pipe(await print(toArgs(names)))
      expect(stdout).toContain(`\\password ${names.role}`)
    })

    test.concurrent('--print | psql takes odd names as they are', async () => {
      const names = {
        database: `Printed 'x' "y" = \\ :z`,
        role: `Printed ro'le "\\"`,
        schema: `Sche'ma $$`,
        table: `Ta'b "le" \\`,
      }
      const script = await print(toArgs(names), { NONSTICK_PASSWORD: 'hush' })
      expect(await pipe(script)).toMatchObject({ code: 0, stderr: '' })
      expect(await pipe(script)).toMatchObject({ code: 0, stderr: '' })
      const url = elsewhere(server.adminUrl, { database: names.database, user: names.role, password: 'hush' })
      await connected(url, (client) => useTable(client, names.schema, names.table))
    })

    test.concurrent('a failing --print | psql ends with a failure and leaves no half of a schema', async () => {
      const names = newNames()
      await asAdmin('postgres', (client) => client.query(`create database ${names.database}`))
      await asAdmin(names.database, (client) => client.query('create schema nonstick create table session (sid text)'))
      const before = await dump(names.database)
      const ended = await pipe(await print(toArgs(names)))
      expect(ended.code).not.toBe(0)
      expect(await dump(names.database)).toBe(before)
    })

    test.concurrent('no argument of psql, which everybody can read, holds a password', async () => {
      const bin = join(folder, 'recording')
      mkdirSync(bin)
      const record = join(folder, 'arguments')
      writeFileSync(join(bin, 'psql'), `#!/bin/sh\nprintf '%s\\n' "$0" "$@" >>'${record}'\nexec '${program}' "$@"\n`)
      chmodSync(join(bin, 'psql'), 0o755)
      const env = { PATH: `${bin}:${process.env['PATH']}`, NONSTICK_PASSWORD: 'hush hush' }
      const ended = await reload([...toArgs(newNames()), '--json'], env)
      expect(reportOf(ended).via).toBe('psql')
      const seen = readFileSync(record, 'utf8')
      expect(seen).toContain('--no-psqlrc')
      expect(seen).not.toContain('hush')
      expect(seen).not.toContain(new URL(server.adminUrl).password)
    })
  })

  test.concurrent('is done by the package itself where there is no psql, or one that does not work', async () => {
    const bin = join(folder, 'without-psql')
    mkdirSync(bin)
    symlinkSync(process.execPath, join(bin, 'node'))
    for (const tool of ['sh', 'dirname', 'readlink', 'id']) symlinkSync(findExecutable(tool) ?? '', join(bin, tool))
    const report = reportOf(await reload([...toArgs(newNames()), '--json'], { PATH: bin }))
    expect(report.via).toBe('node')

    // What Debian's postgresql-client-common puts there where no client is installed.
    writeFileSync(join(bin, 'psql'), '#!/bin/sh\necho "You must install a client" >&2\nexit 1\n', { mode: 0o755 })
    expect(reportOf(await reload([...toArgs(newNames()), '--json'], { PATH: bin })).via).toBe('node')

    rmSync(join(bin, 'node'))
    const ended = await reload(toArgs(newNames()), { PATH: bin })
    expect(ended.code).toBe(1)
    expect(ended.stderr).toContain('needs Node.js')
  })

  test.concurrent('takes host, port and the administrator from options and PG* variables', async () => {
    const names = newNames()
    const { port, password } = new URL(server.adminUrl)
    const env = { NONSTICK_ADMIN_URL: '', PGUSER: 'postgres', PGPASSWORD: password }
    for (const via of CARRIERS) {
      const where = ['--host=127.0.0.1', `--port=${port}`]
      const report = reportOf(await reload([...toArgs(names), ...where, `--via=${via}`, '--json'], env))
      expect(new URL(report.url).host).toBe(`127.0.0.1:${port}`)
      reportOf(
        await reload([...toArgs(names), `--via=${via}`, '--json'], { ...env, PGHOST: '127.0.0.1', PGPORT: port }),
      )
    }
  })

  test.concurrent("hands the administrator's TLS settings on to the program", async () => {
    const env = { NONSTICK_ADMIN_URL: `${server.adminUrl}?sslmode=disable` }
    const { url } = reportOf(await reload([...toArgs(newNames()), '--json'], env))
    expect(new URL(url).search).toBe('?sslmode=disable')
    await connected(url, (client) => useTable(client, 'nonstick', 'session'))
  })

  test.concurrent('warns of a password in --url', async () => {
    const ended = await run(RELOAD, [...toArgs(newNames()), `--url=${server.adminUrl}`], {})
    expect(ended.code).toBe(0)
    expect(ended.stderr).toContain('can be seen')
    expect(ended.stderr).not.toContain(new URL(server.adminUrl).password)
  })

  test.concurrent('gives names by the environment as well', async () => {
    const { database, role } = newNames()
    const env = { NONSTICK_DATABASE: database, NONSTICK_ROLE: role, NONSTICK_SCHEMA: 's', NONSTICK_TABLE: 't' }
    const { url } = reportOf(await reload(['--json'], env))
    expect(new URL(url).pathname).toBe(`/${database}`)
    await connected(url, (client) => useTable(client, 's', 't'))
  })

  test.concurrent('hints at listen_addresses while the server takes local connections only', async () => {
    const ended = await reload(toArgs(newNames()))
    expect(ended.stdout).toContain('listen_addresses')
    expect(ended.stdout).toMatch(/hostssl "db\d+" "role\d+" /)
  })

  test.concurrent('runs through a symbolic link', async () => {
    const link = join(folder, 'link')
    symlinkSync(RELOAD, link)
    expect(await run(link, ['--version'])).toMatchObject({ code: 0, stdout: expect.stringMatching(/^\d+\.\d+\.\d+/) })
  })

  test.concurrent.each([
    [['--bogus'], '--bogus'],
    [['--port=70000'], '--port'],
    [['--via=pigeon'], '--via'],
    [['--database='], '--database'],
    [['--database=a?b'], '--database'],
    [['--table=migration'], '--table'],
    [[`--table=${'x'.repeat(41)}`], '--table'],
    [['--role=a\nb'], '--role'],
    [['--role=a', '--user=b'], '--user'],
    [['--url=postgres://h/', '--host=h'], '--url'],
    [['--url=mysql://secret@h/'], '--url'],
    [['--print', '--drop'], '--drop'],
    [['--password=secret'], '--password'],
    [['--password', 'secret'], '--password'],
    [['--password-file=/nowhere/secret-file'], '--password-file'],
  ])('%j is wrong use: named, exit 2, and nothing is done', async (args, named) => {
    // Had it tried to connect, it would have failed with 1.
    const ended = await reload(args, { NONSTICK_ADMIN_URL: NOWHERE })
    expect(ended).toMatchObject({ code: 2, stdout: '' })
    expect(ended.stderr).toContain(named)
    expect(ended.stderr).not.toContain('secret')
  })

  test.concurrent('a password that clients would send differently is refused, unseen', async () => {
    const ended = await reload([], { NONSTICK_PASSWORD: 'pässword' })
    expect(ended).toMatchObject({ code: 2, stdout: '' })
    expect(ended.stderr).toContain('NONSTICK_PASSWORD')
    expect(ended.stderr).not.toContain('pässword')
  })

  test.concurrent('--help and docs/set-up.md name every option', async () => {
    const { code, stdout } = await run(RELOAD, ['--help'])
    expect(code).toBe(0)
    const options = setupCommand().options.map(({ long }) => String(long))
    expect(options.length).toBeGreaterThan(10)
    const docs = readFileSync(new URL('../../../docs/set-up.md', import.meta.url), 'utf8')
    for (const option of options) {
      expect(stdout).toContain(option)
      expect(docs).toContain(`\`${option}\``)
    }
  })
})

/** Polls rather than sleeps: until a connection of the script's waits for an advisory lock. */
const untilSomebodyWaits = async (client: pg.Client, database: string): Promise<void> => {
  for (let attempt = 0; attempt < 2_000; attempt += 1) {
    const { rows } = await client.query(
      `select 1 from pg_locks l join pg_stat_activity a using (pid)
       where l.locktype = 'advisory' and not l.granted and a.application_name = 'nonstick setup' and a.datname = $1`,
      [database],
    )
    if (rows.length > 0) return
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
  throw new Error('nobody came to wait')
}
