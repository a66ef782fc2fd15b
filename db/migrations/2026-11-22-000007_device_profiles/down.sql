UPDATE role SET permissions = array_remove(permissions, 'configure_terminals');
DROP INDEX terminal_device_profile_idx;
ALTER TABLE terminal DROP COLUMN device_profile_id;
DROP TABLE device_profile;
