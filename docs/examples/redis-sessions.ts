import { RedisSessions } from 'nonstick/redis-sessions'

// Nothing given: an embedded cache and backend in this process, to try it out.
const rs = new RedisSessions()
const app = 'forum'

const { token } = await rs.create({ app, id: 'user1234', ip: '156.78.90.12', ttl: 3_600, d: { theme: 'dark' } })
await rs.set({ app, token, d: { unread: 34, theme: null } })
const session = await rs.get({ app, token })
console.log(session?.r, session?.w, session?.d) // 1 2 { unread: 34 }

console.log(await rs.activity({ app, deltaTime: 600 })) // { activity: 1 }
console.log(await rs.killsoid({ app, id: 'user1234' })) // { kill: 1 }
console.log(await rs.get({ app, token })) // null
await rs.quit()
