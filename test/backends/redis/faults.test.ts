import { inspect } from 'node:util'
import { describe, expect, test } from 'vitest'
import { faultOf } from '../../../src/backends/redis/faults.js'

const context = { tier: 'redis db:6379', operation: 'update', isChange: true, wasSent: true }

describe('what Redis or a client says is told in words, and whether the change may have been done', () => {
  test.each([
    ['MOVED 3999 10.0.0.1:6381', 'redis+cluster', 'no', true],
    ['TRYAGAIN Multiple keys request during rehashing of slot', 'moved', 'no', true],
    ['CLUSTERDOWN The cluster is down', 'cluster is down', 'no', true],
    ["READONLY You can't write against a read only replica.", 'replica', 'no', true],
    ['LOADING Redis is loading the dataset in memory', 'loading', 'no', true],
    ["OOM command not allowed when used memory > 'maxmemory'. script: 5, on @user_script:7.", 'maxmemory', 'no', true],
    ['MISCONF Redis is configured to save RDB snapshots', 'disk', 'no', true],
    ['NOREPLICAS Not enough good replicas to write.', 'min-replicas-to-write', 'no', true],
    ['NOAUTH Authentication required.', 'password', 'no', true],
    ['WRONGPASS invalid username-password pair or user is disabled.', 'refused the user', 'no', true],
    ["NOPERM User x has no permissions to run the 'zadd' command", 'docs/redis.md', 'unknown', true],
    ["ERR The user executing the script can't run this command or subcommand", 'docs/redis.md', 'unknown', true],
    ['WRONGTYPE Operation against a key holding the wrong kind of value', 'prefix', 'unknown', true],
    ['ERR something else', 'it answered with an error', 'unknown', true],
    ['NEWWORD of a newer server', 'it answered with an error', 'unknown', true],
    ['The client is closed', 'is to be connected first', 'no', false],
    ['The client is offline', 'no connection', 'no', false],
    ['The command was aborted', 'could not be sent', 'no', false],
    ['Socket closed unexpectedly', 'the connection failed', 'unknown', false],
    ['Disconnects client', 'the connection failed', 'unknown', false],
  ] as const)('%s', (said, words, applied, answered) => {
    const { error } = faultOf(new Error(said), context)
    expect(error).toMatchObject({ code: 'E_SESSION_UNAVAILABLE', applied, answered })
    expect(error.message).toContain(words)
  })

  test.each([
    ['ECONNREFUSED', 'no'],
    ['ENOTFOUND', 'no'],
    ['ECONNRESET', 'unknown'],
    ['EPIPE', 'unknown'],
  ])('%s', (code, applied) => {
    const { error } = faultOf(Object.assign(new Error(`connect ${code} 10.0.0.1:6379`), { code }), context)
    expect(error).toMatchObject({ applied, answered: false })
    expect(error.message).toContain(code)
  })
})

test('nothing that a server or a client quotes is in an error, nor in its cause', () => {
  const SECRET = 'nonstick:{shop:a4}:pKx3'
  for (const word of ['ERR', 'WRONGTYPE', 'NOPERM', 'OOM', 'NEWWORD']) {
    // ioredis puts the whole command beside what the server said.
    const raised = Object.assign(new Error(`${word} no permissions to access ${SECRET}`), {
      command: { name: 'evalsha', args: [SECRET] },
    })
    expect(inspect(faultOf(raised, context).error, { depth: 9 })).not.toContain(SECRET)
  }
})
