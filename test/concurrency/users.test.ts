import { findServers, openCluster } from './cluster.js'
import { userRaces } from './user-races.js'

const servers = await findServers()

userRaces(
  'the sessions of one user in three processes on one Memcached and one PostgreSQL',
  'shared' in servers ? () => openCluster(servers) : servers,
)
