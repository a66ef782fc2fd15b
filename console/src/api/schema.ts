// Made from openapi/v1.json by `npm run types`. Not to be changed by hand.

export interface components {
    schemas: {
        Account: {
            company_id: components["schemas"]["CompanyId"];
            created_at: string;
            enabled: boolean;
            expires_at?: string | null;
            id: components["schemas"]["AccountId"];
            must_change_password: boolean;
            name: string;
            role_id: components["schemas"]["RoleId"];
        };
        AccountChange: {
            company_id?: components["schemas"]["CompanyId"] | null;
            enabled?: boolean | null;
            expires_at?: string | null;
            name?: string | null;
            password?: string | null;
            role_id?: components["schemas"]["RoleId"] | null;
        };
        AccountId: number;
        Alarm: {
            confirmed: boolean;
            end?: string | null;
            id: components["schemas"]["AlarmId"];
            kind: components["schemas"]["AlarmKind"];
            latitude: number;
            longitude: number;
            speed_kmh: number;
            start: string;
            terminal: components["schemas"]["TerminalId"];
        };
        /** @enum {string} */
        AlarmChange: "started" | "ended" | "superseded";
        AlarmId: string;
        AlarmKind: string;
        AlarmRecord: components["schemas"]["Alarm"] & {
            company_id: components["schemas"]["CompanyId"];
            handling?: components["schemas"]["Handling"] | null;
            plate?: string | null;
            vehicle_id?: components["schemas"]["VehicleId"] | null;
        };
        AlarmSet: string[];
        Approval: {
            company_id: components["schemas"]["CompanyId"];
            plate?: string | null;
            vehicle_id?: components["schemas"]["VehicleId"] | null;
        };
        /** @enum {string} */
        AudioCodec: "g711a" | "g711u" | "g726" | "aac" | "adpcm";
        AvAttributes: {
            audio_channels: number;
            audio_channels_max: number;
            audio_codec?: components["schemas"]["AudioCodec"] | null;
            audio_frame_bytes: number;
            audio_output: boolean;
            audio_payload_type: number;
            audio_sample_bits: number;
            audio_sample_rate_hz: number;
            video_channels_max: number;
            video_codec?: components["schemas"]["VideoCodec"] | null;
            video_payload_type: number;
        };
        Channel: number;
        ChannelChange: {
            name: string;
        };
        /** @enum {string} */
        ClientProtocol: "http" | "https";
        /** @enum {string} */
        ClientRole: "api" | "media";
        ClientServer: {
            expires_at: string;
            host: string;
            port: number;
            protocol: components["schemas"]["ClientProtocol"];
        };
        Cluster: {
            etcd_away_since?: string | null;
            leader?: components["schemas"]["NodeLeader"] | null;
            node: string;
            nodes: components["schemas"]["Node"][];
        };
        Company: {
            created_at: string;
            id: components["schemas"]["CompanyId"];
            name: string;
            parent_id?: components["schemas"]["CompanyId"] | null;
        };
        CompanyChange: {
            name?: string | null;
            parent_id?: components["schemas"]["CompanyId"] | null;
        };
        CompanyId: number;
        DeviceProfile: {
            company_id: components["schemas"]["CompanyId"];
            created_at: string;
            id: components["schemas"]["DeviceProfileId"];
            name: string;
            redirect_form?: components["schemas"]["RedirectForm"] | null;
        };
        DeviceProfileChange: {
            name?: string | null;
            redirect_form?: components["schemas"]["RedirectForm"] | null;
        };
        DeviceProfileId: number;
        /** @enum {string} */
        DeviceProtocol: "jt808";
        DeviceServer: {
            connected: boolean;
            expires_at: string;
            host: string;
            port: number;
            protocol: components["schemas"]["DeviceProtocol"];
        };
        DispatchRequest: {
            role: components["schemas"]["ClientRole"];
        };
        Event: (components["schemas"]["Position"] & {
            /** @enum {string} */
            type: "position";
        }) | {
            alarm: components["schemas"]["Alarm"];
            change: components["schemas"]["AlarmChange"];
            /** @enum {string} */
            type: "alarm";
        } | {
            presence: components["schemas"]["Presence"];
            terminal: components["schemas"]["TerminalId"];
            /** @enum {string} */
            type: "presence";
        } | {
            change: components["schemas"]["StreamChange"];
            stream: components["schemas"]["StreamKey"];
            /** @enum {string} */
            type: "stream";
        };
        FieldError: {
            detail: string;
            field: string;
        };
        HandleRequest: {
            note: string;
        };
        Handling: {
            handled_at: string;
            handled_by?: components["schemas"]["AccountId"] | null;
            handled_by_name?: string | null;
            note: string;
        };
        Lagged: {
            missed: number;
        };
        LatestPosition: {
            company_id: components["schemas"]["CompanyId"];
            device_no: string;
            last_seen_at?: string | null;
            online: boolean;
            plate?: string | null;
            position?: components["schemas"]["Position"] | null;
            terminal_id: components["schemas"]["TerminalId"];
            vehicle_id?: components["schemas"]["VehicleId"] | null;
        };
        Live: {
            av?: components["schemas"]["AvAttributes"] | null;
            expires_at: string;
            stream: components["schemas"]["StreamKey"];
            urls: components["schemas"]["LiveUrls"];
        };
        LiveRequest: {
            profile?: components["schemas"]["Profile"];
            terminal_id?: components["schemas"]["TerminalId"] | null;
        };
        LiveUrls: {
            hls: string;
            http_flv: string;
            ws_flv: string;
        };
        Login: {
            account: string;
            password: string;
        };
        Me: {
            account: components["schemas"]["Account"];
            permissions: components["schemas"]["Permission"][];
        };
        NewAccount: {
            company_id: components["schemas"]["CompanyId"];
            expires_at?: string | null;
            must_change_password?: boolean;
            name: string;
            password: string;
            role_id: components["schemas"]["RoleId"];
        };
        NewCompany: {
            name: string;
            parent_id: components["schemas"]["CompanyId"];
        };
        NewDeviceProfile: {
            company_id: components["schemas"]["CompanyId"];
            name: string;
            redirect_form?: components["schemas"]["RedirectForm"] | null;
        };
        NewRole: {
            company_id: components["schemas"]["CompanyId"];
            name: string;
            permissions: components["schemas"]["Permission"][];
        };
        NewTerminal: {
            company_id?: components["schemas"]["CompanyId"] | null;
            device_no?: string | null;
            sim: components["schemas"]["Sim"];
            vehicle_id?: components["schemas"]["VehicleId"] | null;
        };
        NewVehicle: {
            company_id: components["schemas"]["CompanyId"];
            plate: string;
            plate_colour?: components["schemas"]["PlateColour"];
        };
        Node: {
            draining: boolean;
            gateway?: string | null;
            leads: boolean;
            media?: string | null;
            name: string;
            roles: components["schemas"]["NodeRole"][];
            seen: boolean;
            sighting?: components["schemas"]["NodeSighting"] | null;
            started_at: string;
            terminals_max: number;
            version: string;
            web?: string | null;
        };
        NodeEvent: {
            at: string;
            detail: string;
            epoch: number;
            id: number;
            kind: components["schemas"]["NodeEventKind"];
            node: string;
        };
        /** @enum {string} */
        NodeEventKind: "joined" | "lost" | "left" | "draining" | "drained" | "undrained";
        NodeLeader: {
            epoch: number;
            node: string;
        };
        NodeLoad: {
            cpu_permille: number;
            memory_bytes: number;
            memory_max_bytes: number;
            storage_bytes: number;
            storage_max_bytes: number;
            terminals: number;
            viewers: number;
        };
        /** @enum {string} */
        NodeRole: "login" | "gateway" | "media" | "api";
        NodeSighting: {
            clock_offset_ms: number;
            clock_right: boolean;
            draining: boolean;
            load: components["schemas"]["NodeLoad"];
            measured_at?: string | null;
            missed: number;
        };
        Page_Account: {
            items: {
                company_id: components["schemas"]["CompanyId"];
                created_at: string;
                enabled: boolean;
                expires_at?: string | null;
                id: components["schemas"]["AccountId"];
                must_change_password: boolean;
                name: string;
                role_id: components["schemas"]["RoleId"];
            }[];
            next_cursor?: string | null;
        };
        Page_AlarmRecord: {
            items: (components["schemas"]["Alarm"] & {
                company_id: components["schemas"]["CompanyId"];
                handling?: components["schemas"]["Handling"] | null;
                plate?: string | null;
                vehicle_id?: components["schemas"]["VehicleId"] | null;
            })[];
            next_cursor?: string | null;
        };
        Page_Company: {
            items: {
                created_at: string;
                id: components["schemas"]["CompanyId"];
                name: string;
                parent_id?: components["schemas"]["CompanyId"] | null;
            }[];
            next_cursor?: string | null;
        };
        Page_DeviceProfile: {
            items: {
                company_id: components["schemas"]["CompanyId"];
                created_at: string;
                id: components["schemas"]["DeviceProfileId"];
                name: string;
                redirect_form?: components["schemas"]["RedirectForm"] | null;
            }[];
            next_cursor?: string | null;
        };
        Page_LatestPosition: {
            items: {
                company_id: components["schemas"]["CompanyId"];
                device_no: string;
                last_seen_at?: string | null;
                online: boolean;
                plate?: string | null;
                position?: components["schemas"]["Position"] | null;
                terminal_id: components["schemas"]["TerminalId"];
                vehicle_id?: components["schemas"]["VehicleId"] | null;
            }[];
            next_cursor?: string | null;
        };
        Page_NodeEvent: {
            items: {
                at: string;
                detail: string;
                epoch: number;
                id: number;
                kind: components["schemas"]["NodeEventKind"];
                node: string;
            }[];
            next_cursor?: string | null;
        };
        Page_PendingTerminal: {
            items: {
                attempts: number;
                city: number;
                edition?: number | null;
                first_seen_at: string;
                last_seen_at: string;
                manufacturer: string;
                model: string;
                peer: string;
                plate: string;
                plate_colour: components["schemas"]["PlateColour"];
                province: number;
                sim: components["schemas"]["Sim"];
                terminal_no: string;
            }[];
            next_cursor?: string | null;
        };
        Page_Position: {
            items: {
                alarms: components["schemas"]["AlarmSet"];
                altitude_m: number;
                device_time?: string | null;
                direction_deg: number;
                fuel_l?: number | null;
                latitude: number;
                longitude: number;
                mileage_km?: number | null;
                received_at: string;
                recorder_speed_kmh?: number | null;
                satellites?: number | null;
                signal?: number | null;
                speed_kmh: number;
                status: components["schemas"]["StatusSet"];
                terminal: components["schemas"]["TerminalId"];
            }[];
            next_cursor?: string | null;
        };
        Page_Role: {
            items: {
                company_id: components["schemas"]["CompanyId"];
                created_at: string;
                id: components["schemas"]["RoleId"];
                name: string;
                permissions: components["schemas"]["Permission"][];
            }[];
            next_cursor?: string | null;
        };
        Page_Terminal: {
            items: {
                channels: components["schemas"]["TerminalChannel"][];
                company_id: components["schemas"]["CompanyId"];
                created_at: string;
                device_no: string;
                device_profile_id?: components["schemas"]["DeviceProfileId"] | null;
                edition?: number | null;
                id: components["schemas"]["TerminalId"];
                last_seen_at?: string | null;
                maker: string;
                model: string;
                online: boolean;
                peer?: string | null;
                sim: components["schemas"]["Sim"];
                terminal_no: string;
                vehicle_id?: components["schemas"]["VehicleId"] | null;
            }[];
            next_cursor?: string | null;
        };
        Page_TerminalChannel: {
            items: {
                name: string;
                number: components["schemas"]["Channel"];
            }[];
            next_cursor?: string | null;
        };
        Page_Vehicle: {
            items: {
                company_id: components["schemas"]["CompanyId"];
                created_at: string;
                id: components["schemas"]["VehicleId"];
                plate: string;
                plate_colour: components["schemas"]["PlateColour"];
                terminals: components["schemas"]["Terminal"][];
            }[];
            next_cursor?: string | null;
        };
        PasswordChange: {
            new: string;
            old: string;
        };
        PendingTerminal: {
            attempts: number;
            city: number;
            edition?: number | null;
            first_seen_at: string;
            last_seen_at: string;
            manufacturer: string;
            model: string;
            peer: string;
            plate: string;
            plate_colour: components["schemas"]["PlateColour"];
            province: number;
            sim: components["schemas"]["Sim"];
            terminal_no: string;
        };
        /** @enum {string} */
        Permission: "view" | "live" | "handle_alarms" | "manage_vehicles" | "manage_accounts" | "configure_terminals";
        /** @enum {string} */
        PlateColour: "unknown" | "blue" | "yellow" | "black" | "white" | "green" | "other";
        Position: {
            alarms: components["schemas"]["AlarmSet"];
            altitude_m: number;
            device_time?: string | null;
            direction_deg: number;
            fuel_l?: number | null;
            latitude: number;
            longitude: number;
            mileage_km?: number | null;
            received_at: string;
            recorder_speed_kmh?: number | null;
            satellites?: number | null;
            signal?: number | null;
            speed_kmh: number;
            status: components["schemas"]["StatusSet"];
            terminal: components["schemas"]["TerminalId"];
        };
        /** @enum {string} */
        Presence: "online" | "offline";
        Problem: {
            detail: string;
            errors?: components["schemas"]["FieldError"][];
            instance?: string | null;
            status: number;
            title: string;
            type: string;
        };
        /** @enum {string} */
        Profile: "main" | "sub";
        /** @enum {string} */
        RedirectForm: "text" | "raw_control" | "raw_words";
        RefreshToken: {
            refresh_token: string;
        };
        Role: {
            company_id: components["schemas"]["CompanyId"];
            created_at: string;
            id: components["schemas"]["RoleId"];
            name: string;
            permissions: components["schemas"]["Permission"][];
        };
        RoleChange: {
            name?: string | null;
            permissions?: components["schemas"]["Permission"][] | null;
        };
        RoleId: number;
        ServerAddress: {
            host: components["schemas"]["ServerHost"];
            port: number;
        };
        ServerHost: string;
        ServersChange: {
            backup?: components["schemas"]["ServerAddress"][] | null;
            main?: components["schemas"]["ServerAddress"][] | null;
        };
        Sim: string;
        StatusSet: number;
        /** @enum {string} */
        StreamChange: "live" | "recovering" | "ended";
        StreamKey: string;
        StreamedEvent: {
            data: string;
            event: components["schemas"]["StreamedKind"];
        };
        /** @enum {string} */
        StreamedKind: "position" | "alarm" | "presence" | "stream" | "lagged";
        Terminal: {
            channels: components["schemas"]["TerminalChannel"][];
            company_id: components["schemas"]["CompanyId"];
            created_at: string;
            device_no: string;
            device_profile_id?: components["schemas"]["DeviceProfileId"] | null;
            edition?: number | null;
            id: components["schemas"]["TerminalId"];
            last_seen_at?: string | null;
            maker: string;
            model: string;
            online: boolean;
            peer?: string | null;
            sim: components["schemas"]["Sim"];
            terminal_no: string;
            vehicle_id?: components["schemas"]["VehicleId"] | null;
        };
        TerminalChange: {
            company_id?: components["schemas"]["CompanyId"] | null;
            device_no?: string | null;
            device_profile_id?: components["schemas"]["DeviceProfileId"] | null;
            revoke_auth?: boolean;
            vehicle_id?: components["schemas"]["VehicleId"] | null;
        };
        TerminalChannel: {
            name: string;
            number: components["schemas"]["Channel"];
        };
        TerminalId: number;
        TerminalServers: {
            backup: components["schemas"]["ToldServer"][];
            main: components["schemas"]["ToldServer"][];
        };
        Tokens: {
            access_token: string;
            expires_in_s: number;
            must_change_password: boolean;
            refresh_token: string;
        };
        ToldServer: {
            host: string;
            port?: number | null;
        };
        Vehicle: {
            company_id: components["schemas"]["CompanyId"];
            created_at: string;
            id: components["schemas"]["VehicleId"];
            plate: string;
            plate_colour: components["schemas"]["PlateColour"];
            terminals: components["schemas"]["Terminal"][];
        };
        VehicleChange: {
            company_id?: components["schemas"]["CompanyId"] | null;
            plate?: string | null;
            plate_colour?: components["schemas"]["PlateColour"] | null;
        };
        VehicleEvent: components["schemas"]["Event"] & {
            vehicle_id?: components["schemas"]["VehicleId"] | null;
        };
        VehicleId: number;
        /** @enum {string} */
        VideoCodec: "h264" | "h265";
    };
    responses: never;
    parameters: never;
    requestBodies: never;
    headers: never;
    pathItems: never;
}
